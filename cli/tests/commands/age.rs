//! The age format where values are sealed: for whom, who says so, and what becomes of it.

mod change;
mod controller;
mod repository;
mod reseal;
mod seal;
mod strangers;
mod trust;
