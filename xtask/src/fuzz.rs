//! `cargo xtask fuzz`: every parser against libFuzzer, on the stable toolchain and without cargo-fuzz.
//!
//! What cargo-fuzz does with `--sanitizer none` is a handful of compiler flags; libFuzzer itself comes with
//! libfuzzer-sys. The sanitizers, which need a nightly toolchain, look for faults of unsafe code, and the product has
//! none. The targets, and how to write one, are in `fuzz/`.
//!
//! ```text
//!   fuzz/corpus/TARGET ──copied──▶ <target>/fuzz/corpus/TARGET ──libFuzzer──▶ grows, for `-merge=1`
//!                                                                  └────────▶ <target>/fuzz/artifacts/TARGET
//! ```

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{self, Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::prerequisites::{self, Need};
use crate::process;
use crate::progress::{Job, Status};
use crate::workspace::Workspace;

/// Fuzz every parser, or one of them
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The target, a file of fuzz/fuzz_targets; without it all of them
    target: Option<String>,
    /// How long each one runs
    #[arg(long, value_name = "N", default_value_t = SECONDS)]
    seconds: u64,
    /// Take comparisons that come closer to true for progress: slower, and finds what hides behind a short constant
    #[arg(long)]
    value_profile: bool,
    /// Run the target on this input alone, and show what happens
    #[arg(long, value_name = "FILE", requires = "target")]
    replay: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    prerequisites::check(workspace, &[Need::Rust, Need::C, Need::Cpp])?;
    let mut targets = targets(workspace)?;
    if let Some(name) = &args.target {
        let all = targets.join(", ");
        targets.retain(|target| target == name);
        if targets.is_empty() {
            bail!("there is no fuzz target {name}; there are {all}");
        }
    }
    let programs = build(workspace)?;
    if let (Some(file), [target]) = (&args.replay, targets.as_slice()) {
        let file = path::absolute(file).context("--replay")?;
        return process::run(workspace.command(programs.join(target)).arg(file));
    }
    println!("{}", fuzz(workspace, programs, targets, args.seconds, args.value_profile)?);
    Ok(())
}

/// All targets for as long as the tests have; gives how many there were, and how many inputs.
pub(crate) fn run_all(workspace: &Workspace) -> Result<String> {
    let targets = targets(workspace)?;
    let programs = build(workspace)?;
    let seconds = seconds_each(targets.len(), workers(targets.len()));
    // Without the value profile: in a minute it reaches less of the code.
    fuzz(workspace, programs, targets, seconds, false)
}

/// A minute each, or less where there are more targets than the stage has minutes for on these cores.
fn seconds_each(targets: usize, workers: usize) -> u64 {
    let rounds = targets.div_ceil(workers.max(1)).max(1);
    SECONDS.min(STAGE_SECONDS / u64::try_from(rounds).unwrap_or(u64::MAX))
}

/// How many targets run at once.
fn workers(targets: usize) -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(targets)
}

/// clippy, warnings denied. With the flags and the folder of the fuzz build, so that what runs at build time (AWS-LC,
/// procedural macros) is built once for both.
pub(crate) fn clippy(workspace: &Workspace) -> Result<()> {
    process::run(cargo(workspace, "clippy")?.args(["--all-targets", "--", "-D", "warnings"]))
}

/// rustfmt, nothing written.
pub(crate) fn fmt(workspace: &Workspace) -> Result<()> {
    process::run(&mut workspace.cargo(&["fmt", "--manifest-path", MANIFEST, "--check"]))
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root().join("fuzz/fuzz_targets");
    let mut targets = Vec::new();
    for file in files(&folder)? {
        let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".rs"));
        targets.push(name.with_context(|| format!("{} is no fuzz target", file.display()))?.to_owned());
    }
    if targets.is_empty() {
        bail!("there is no fuzz target in {}", folder.display());
    }
    targets.sort();
    Ok(targets)
}

/// Builds all targets; gives the folder in which their programs are.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    process::run(&mut cargo(workspace, "build")?)?;
    Ok(home(workspace).join(host(workspace)?).join("release"))
}

fn cargo(workspace: &Workspace, task: &str) -> Result<Command> {
    let mut command = workspace.cargo(&[task, "--release", "--locked", "--manifest-path", MANIFEST]);
    // Naming a target, even the host's own, keeps the flags away from what runs at build time.
    command.arg("--target").arg(host(workspace)?).arg("--target-dir").arg(home(workspace));
    command.env("RUSTFLAGS", FLAGS.join(" ")).env_remove("CARGO_ENCODED_RUSTFLAGS");
    Ok(command)
}

fn host(workspace: &Workspace) -> Result<String> {
    let text = process::output(workspace.command("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// Where the fuzz build and all that comes of it goes.
fn home(workspace: &Workspace) -> PathBuf {
    workspace.target().join("fuzz")
}

/// Runs targets, as many at once as there are cores. All of them run to their end, whatever the others find.
fn fuzz(
    workspace: &Workspace,
    programs: PathBuf,
    targets: Vec<String>,
    seconds: u64,
    value_profile: bool,
) -> Result<String> {
    let workspace = workspace.clone();
    let all = targets.len();
    let outcomes = Job::start(move |status| {
        let bench = Bench { workspace: &workspace, programs: &programs, seconds, value_profile, status };
        Ok(bench.run_all(targets))
    })
    .wait()?;

    let (mut inputs, mut failures) = (0, Vec::new());
    for (target, outcome) in outcomes {
        match outcome {
            Ok(ran) => {
                eprintln!("{target}: {} inputs, {} of them kept", ran.inputs, ran.kept);
                inputs += ran.inputs;
            }
            Err(error) => failures.push(format!("{target}: {error:#}")),
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(format!("{all} targets, {inputs} inputs"))
}

struct Bench<'a> {
    workspace: &'a Workspace,
    programs: &'a Path,
    seconds: u64,
    value_profile: bool,
    status: &'a Status,
}

/// What libFuzzer says at its end.
#[derive(PartialEq, Eq, Debug)]
struct Ran {
    inputs: u64,
    kept: u64,
}

impl Bench<'_> {
    fn run_all(&self, targets: Vec<String>) -> Vec<(String, Result<Ran>)> {
        let workers = workers(targets.len());
        let waiting = Mutex::new(VecDeque::from(targets));
        let running = Mutex::new(Vec::new());
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    // A statement of its own, so that the lock is not held while the target runs.
                    while let Some(target) = next(&waiting) {
                        lock(&running).push(target.clone());
                        self.status.at(format!("fuzzing {}", lock(&running).join(", ")));
                        let outcome = self.run(&target);
                        lock(&running).retain(|other| *other != target);
                        lock(&done).push((target, outcome));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by(|(a, _), (b, _)| a.cmp(b));
        done
    }

    fn run(&self, target: &str) -> Result<Ran> {
        let home = home(self.workspace);
        let corpus = home.join("corpus").join(target);
        let artifacts = home.join("artifacts").join(target);
        fresh_copy(&self.workspace.root().join("fuzz/corpus").join(target), &corpus)?;
        fs::create_dir_all(&artifacts).with_context(|| format!("cannot make {}", artifacts.display()))?;
        let log_file = home.join(format!("{target}.log"));
        let log = File::create(&log_file).with_context(|| format!("cannot write {}", log_file.display()))?;

        let mut command = self.workspace.command(self.programs.join(target));
        command
            .arg(format!("-max_total_time={}", self.seconds))
            .arg(format!("-use_value_profile={}", u8::from(self.value_profile)))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(LIMITS)
            .args(self.dictionary(target))
            .arg(&corpus)
            .stdout(log.try_clone()?)
            .stderr(log);
        let status = command.status().with_context(|| format!("cannot start {target}"))?;
        let log = fs::read(&log_file).with_context(|| format!("cannot read {}", log_file.display()))?;
        let log = String::from_utf8_lossy(&log);
        if !status.success() {
            bail!("{}\n  log:    {}", failure(target, &log), log_file.display());
        }
        ran(&log).with_context(|| format!("see {}", log_file.display()))
    }

    fn dictionary(&self, target: &str) -> Option<String> {
        let file = self.workspace.root().join("fuzz/dictionaries").join(format!("{target}.dict"));
        file.is_file().then(|| format!("-dict={}", file.display()))
    }
}

fn next(waiting: &Mutex<VecDeque<String>>) -> Option<String> {
    lock(waiting).pop_front()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A copy that libFuzzer may write to. Always the committed corpus and nothing else: every run begins alike.
fn fresh_copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for file in files(from)? {
        let copy = to.join(file.file_name().unwrap_or_default());
        fs::copy(&file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_file()).collect())
}

/// What a run that found something found, and how to see it again.
fn failure(target: &str, log: &str) -> String {
    let mut lines = log.lines();
    let what = match lines.find_map(|line| Some(line.split_once(" panicked at ")?.1)) {
        // The message stands on the line after the place.
        Some(place) => format!("panicked at {place} {}", lines.next().unwrap_or_default()),
        None => {
            let error = log.lines().find_map(|line| Some(line.split_once("ERROR: libFuzzer: ")?.1));
            error.unwrap_or("ended without a word").to_owned()
        }
    };
    let Some(input) = log.lines().find_map(|line| Some(line.split_once("Test unit written to ")?.1)) else {
        return what;
    };
    format!("{what}\n  input:  {input}\n  replay: cargo xtask fuzz {target} --replay {input}")
}

/// The statistics of a run that found nothing. One that was blind, or tried nothing, says nothing.
fn ran(log: &str) -> Result<Ran> {
    if !log.contains("inline 8-bit counters") {
        bail!("the program is not instrumented for coverage: did the compiler's flags change?");
    }
    let number = |name: &str| -> Result<u64> {
        let line = log.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|number| number.trim().parse().ok());
        number.with_context(|| format!("libFuzzer gives no {name}"))
    };
    match number("stat::number_of_executed_units")? {
        0 => bail!("no input was tried"),
        inputs => Ok(Ran { inputs, kept: number("stat::new_units_added")? }),
    }
}

/// How long each target runs among the tests.
const SECONDS: u64 = 60;
/// How long all of them together do at most, the build apart: the stage is to stay below 7 minutes on two cores.
const STAGE_SECONDS: u64 = 320;
const MANIFEST: &str = "fuzz/Cargo.toml";
/// Those of `cargo fuzz build --sanitizer none`, version 0.13.2.
const FLAGS: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-sanitizer-coverage-stack-depth",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];
/// Seconds for one input, MiB in all, and numbers at the end.
const LIMITS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_run_is_counted() {
        let log = "INFO: Loaded 1 modules   (72 inline 8-bit counters): 72 [0x1, 0x2),\n\
            Done 500 runs in 60 second(s)\n\
            stat::number_of_executed_units: 500\nstat::new_units_added:          12\n";
        assert_eq!(ran(log).unwrap(), Ran { inputs: 500, kept: 12 });
        assert!(ran(&log.replace("units: 500", "units: 0")).is_err());
        assert!(ran(&log.replace("inline 8-bit counters", "guards")).is_err());
        assert!(ran("INFO: Loaded 1 modules   (72 inline 8-bit counters)\n").is_err());
    }

    #[test]
    fn the_stage_has_a_bound_and_no_target_more_than_a_minute() {
        assert_eq!(seconds_each(15, 2), 40);
        assert_eq!(seconds_each(10, 2), 60);
        assert_eq!(seconds_each(14, 16), 60);
        for (targets, workers) in [(1_usize, 1), (30, 2), (14, 1), (15, 2)] {
            let rounds = targets.div_ceil(workers) as u64;
            assert!(rounds * seconds_each(targets, workers) <= STAGE_SECONDS, "{targets} on {workers}");
        }
    }

    #[test]
    fn a_panic_is_told_with_its_input() {
        let log = "thread '<unnamed>' (7) panicked at crates/a/src/b.rs:1:2:\nbroken\n\
            ==7== ERROR: libFuzzer: deadly signal\n\
            artifact_prefix='/t/'; Test unit written to /t/crash-00\n";
        assert_eq!(
            failure("names", log),
            "panicked at crates/a/src/b.rs:1:2: broken\n  input:  /t/crash-00\n  \
             replay: cargo xtask fuzz names --replay /t/crash-00"
        );
    }

    #[test]
    fn a_timeout_is_told_as_such() {
        let log = "==7== ERROR: libFuzzer: timeout after 10 seconds\n";
        assert_eq!(failure("names", log), "timeout after 10 seconds");
    }

    /// What is fuzzed is what is shipped.
    #[test]
    fn both_lock_files_name_the_same_versions() {
        fn packages(lock: &str) -> BTreeSet<&str> {
            lock.split("[[package]]\n")
                .skip(1)
                .filter_map(|package| package.split("\nsource").next())
                .collect()
        }
        let shipped = packages(include_str!("../../Cargo.lock"));
        let own = |package: &&&str| {
            ["privyseal", "libfuzzer-sys", "arbitrary"].iter().any(|name| package.contains(name))
        };
        let fuzzed = packages(include_str!("../../fuzz/Cargo.lock"));
        let others: Vec<_> = fuzzed.difference(&shipped).filter(|package| !own(package)).collect();
        assert!(
            others.is_empty(),
            "other versions than in Cargo.lock: {others:?}; copy it to fuzz/Cargo.lock and run \
             `cargo metadata --manifest-path fuzz/Cargo.toml`"
        );
    }
}
