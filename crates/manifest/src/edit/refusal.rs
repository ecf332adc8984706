//! What is in the way of an edit, on its way up to a place in a file.

use super::syntax::{Node, Shape, Style};
use crate::document::{DocumentId, resolve};
use crate::error::{DocumentError, Found, Obstacle, Position, Problem};

/// Something on the way that cannot be edited.
pub(super) struct Refusal {
    offset: usize,
    problem: Problem,
    /// From the innermost field to the outermost.
    path: Vec<String>,
}

impl Refusal {
    pub(super) fn at(offset: usize, obstacle: Obstacle) -> Self {
        Self::new(offset, Problem::NotEditable(obstacle))
    }

    pub(super) fn new(offset: usize, problem: Problem) -> Self {
        Self { offset, problem, path: Vec::new() }
    }

    pub(super) fn of(node: &Node, obstacle: Obstacle) -> Self {
        Self::at(node.start, obstacle)
    }

    pub(super) fn wrong_type(node: &Node, expected: &'static str) -> Self {
        let found = match &node.shape {
            Shape::List { .. } => Found::List,
            Shape::Mapping { .. } => Found::Mapping,
            Shape::Scalar { style: Style::Plain, text } => resolve(text).found().unwrap_or(Found::Text),
            _ => Found::Text,
        };
        Self::new(node.start, Problem::WrongType { expected, found })
    }

    pub(super) fn within(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }

    pub(super) fn error(self, document: DocumentId, text: &str, source: &str) -> DocumentError {
        let path: Vec<String> = self.path.into_iter().rev().collect();
        let at = Position::after(text.get(..self.offset).unwrap_or_default());
        document.error(source, at, Some(&path), self.problem)
    }
}
