//! A network of a test's own.
//!
//! What goes through `services/NAME/proxy` ends at an endpoint, and the API takes no loopback address for one. To give
//! the machine another address would need rights and be seen by everybody, so such a test runs in a process of its own
//! in a network namespace of its own, with all that it starts. Root needs only that; everybody else a user namespace
//! around it.

use std::path::Path;
use std::time::Duration;

use crate::process::{self, Process};
use crate::scratch;

/// The address at which controllers are reached there (from the range that is for documentation).
pub const ADDRESS: &str = "198.51.100.1";

/// In which test the process was started.
const VARIABLE: &str = "PRIVYSEAL_TEST_NETWORK";
/// Long enough for any one test.
const LIMIT: Duration = Duration::from_secs(600);

/// `$1` is the address, the rest is the program.
const ENTER: &str = r#"address=$1; shift
ip link set lo up && ip addr add "$address/32" dev lo && exec setpriv --pdeathsig KILL -- "$@""#;

/// Runs the body of a test in a network of its own. To be called as the one thing that a `#[test]` does:
///
/// ```no_run
/// # use privyseal_tests::network;
/// #[test]
/// fn a_certificate_is_fetched_through_the_service() {
///     network::alone(async || {
///         // …
///     });
/// }
/// ```
pub fn alone<F: AsyncFnOnce()>(body: F) {
    let name = test_name::<F>();
    if std::env::var(VARIABLE).is_ok_and(|running| running == name) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(body());
    }
    let exe = std::env::current_exe().expect("a test binary knows itself");
    let mut command = process::inheriting(Path::new("unshare"));
    let namespaces = if rustix::process::geteuid().is_root() { "-n" } else { "-Urn" };
    command.args([namespaces, "sh", "-c", ENTER, "enter", ADDRESS]).arg(exe);
    command.args([&*name, "--exact", "--nocapture", "--test-threads=1"]).env(VARIABLE, &*name);
    let mut process = Process::start(&name, &command, &scratch::folder("network").join("log"));
    let status = process.wait(LIMIT);
    let log = process.log();
    // Its own report is the whole log; a name that fits no test would "succeed".
    let passed = status.is_some_and(|status| status.success()) && log.contains("test result: ok. 1 passed");
    let status = status.map_or_else(|| format!("it went on for {LIMIT:?}"), |status| status.to_string());
    // Killed, if need be, before this panics: it would show the end of the same log once more.
    drop(process);
    assert!(passed, "{name}: {status}\n{log}");
    process::show(&log);
}

/// The path of the test function around a closure, without its crate, as libtest names it.
fn test_name<F>() -> String {
    let path = std::any::type_name::<F>();
    let path = path.trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_, rest)| rest).to_owned()
}
