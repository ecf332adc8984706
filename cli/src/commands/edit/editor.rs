//! The editor: which one, what it must not leave behind, and waiting for it.

use crate::error::{CommandError, Shown};
use crate::input::reason;
use crate::interrupt::{self, Manner};
use crate::speech;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// What the person edits with.
pub(super) struct Editor {
    /// As the variable has it: a program, perhaps with arguments.
    command: OsString,
    known: Option<&'static Known>,
}

/// What is known of an editor.
struct Known {
    /// File names of the program, without what follows a dot.
    names: &'static [&'static str],
    /// Arguments that keep it from writing copies of what is edited.
    arguments: &'static [&'static str],
    /// It returns at once, unless one of these is among its arguments.
    waits_with: &'static [&'static str],
    /// It returns at once, if one of these is among its arguments.
    returns_with: &'static [&'static str],
    /// Copies that no argument keeps it from making.
    keeps: Option<&'static str>,
}

const PLAIN: Known = Known { names: &[], arguments: &[], waits_with: &[], returns_with: &[], keeps: None };

const VIM: &[&str] = &[
    "-n",
    "-i",
    "NONE",
    "-c",
    "silent! set nobackup nowritebackup noswapfile",
    // On its own: a Vim that was built without it takes it for an error.
    "-c",
    "silent! set noundofile",
];

const JETBRAINS: &[&str] =
    &["clion", "goland", "idea", "phpstorm", "pycharm", "rider", "rubymine", "rustrover", "webstorm"];

/// The one table. An editor that is not in it gets no arguments; `vi`, `view` and `editor` are looked up by what they
/// are links to.
const KNOWN: &[Known] = &[
    Known { names: &["vim", "nvim", "rvim", "vimx"], arguments: VIM, ..PLAIN },
    Known { names: &["gvim", "mvim"], arguments: VIM, waits_with: &["-f", "--nofork"], ..PLAIN },
    Known { names: &["nano", "rnano"], arguments: &["--restricted"], ..PLAIN },
    Known {
        names: &["emacs"],
        arguments: &["--eval", "(setq make-backup-files nil auto-save-default nil create-lockfiles nil)"],
        ..PLAIN
    },
    Known {
        names: &["emacsclient"],
        returns_with: &["-n", "--no-wait"],
        keeps: Some("backups and auto-saves, as its server is set up"),
        ..PLAIN
    },
    Known {
        names: &["micro"],
        arguments: &[
            "-backup",
            "false",
            "-savecursor",
            "false",
            "-saveundo",
            "false",
            "-savehistory",
            "false",
        ],
        ..PLAIN
    },
    // These keep nothing of a file beside or outside of it.
    Known { names: &["hx", "helix", "kak", "ed"], ..PLAIN },
    Known {
        names: &["code", "code-insiders", "codium", "vscodium", "cursor", "windsurf"],
        waits_with: &["-w", "--wait"],
        keeps: Some("a local history (workbench.localHistory.enabled) and unsaved text (files.hotExit)"),
        ..PLAIN
    },
    Known {
        names: &["subl", "sublime_text"],
        waits_with: &["-w", "--wait"],
        keeps: Some("unsaved text (hot_exit)"),
        ..PLAIN
    },
    Known { names: &["zed", "zeditor"], waits_with: &["-w", "--wait"], ..PLAIN },
    Known { names: &["gedit", "mate", "atom"], waits_with: &["-w", "--wait"], ..PLAIN },
    Known { names: &["kate"], waits_with: &["-b", "--block"], ..PLAIN },
    Known {
        names: JETBRAINS,
        waits_with: &["-w", "--wait"],
        keeps: Some("a local history of every file"),
        ..PLAIN
    },
];

impl Editor {
    /// `$VISUAL`, else `$EDITOR`, else `vi`.
    pub(super) fn chosen() -> Self {
        let variable = |name| std::env::var_os(name).filter(|text| !text.to_string_lossy().trim().is_empty());
        let command = variable("VISUAL").or_else(|| variable("EDITOR")).unwrap_or_else(|| "vi".into());
        let known = known(&command.to_string_lossy(), resolve);
        Self { command, known }
    }

    /// Says what the person should know before they begin.
    pub(super) fn warn(&self) {
        let Some(known) = self.known else { return };
        let (name, text) = (self.name(), self.command.to_string_lossy());
        let has = |flags: &[&str]| text.split_whitespace().any(|word| flags.contains(&word));
        if !known.waits_with.is_empty() && !has(known.waits_with) {
            let flag = known.waits_with.last().unwrap_or(&"");
            speech::warning(format_args!(
                "{name} returns before anything is edited, unless it is called with {flag}"
            ));
        }
        if has(known.returns_with) {
            speech::warning(format_args!("{name} returns before anything is edited, as it is called"));
        }
        if let Some(copies) = known.keeps {
            speech::warning(format_args!("{name} may keep copies of the plaintext: {copies}"));
        }
    }

    /// Lets the file be edited, and waits for the end of it. Ctrl-C is the editor's; another signal ends both.
    pub(super) fn run(&self, file: &Path) -> Result<(), CommandError> {
        interrupt::check()?;
        let status = interrupt::treated(Manner::LeaveInterrupt, || {
            let mut child = self.command(file).spawn()?;
            wait(&mut child)
        });
        // It may have ended by the signal that came to us, too.
        interrupt::check()?;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let how = status.code().map_or("a signal".to_owned(), |code| format!("status {code}"));
                let this = CommandError::failed(format!("the editor {} ended with {how}", self.name()));
                Err(if status.code() == Some(NOT_FOUND) { this.hint(SET_ONE) } else { this })
            }
            Err(error) => Err(CommandError::failed(format!(
                "the editor {} cannot be started: {}",
                self.name(),
                reason(&error)
            ))
            .hint(SET_ONE)),
        }
    }

    fn name(&self) -> String {
        Shown(&self.command.to_string_lossy()).to_string()
    }

    /// As Git does it: through the shell where there is anything for a shell to do.
    fn command(&self, file: &Path) -> Command {
        let text = self.command.to_str();
        let mut command = match text.filter(|text| !cfg!(unix) || !text.contains(for_a_shell)) {
            Some(text) => {
                let mut words = text.split_whitespace();
                let mut command = Command::new(words.next().unwrap_or("vi"));
                command.args(words);
                command
            }
            None => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(script(&self.command)).arg(&self.command);
                command
            }
        };
        // After `--` there are only files.
        let takes_options = !text.is_some_and(|text| text.split_whitespace().any(|word| word == "--"));
        if let Some(known) = self.known.filter(|_| takes_options) {
            command.args(known.arguments);
        }
        command.arg(file);
        command
    }
}

/// What a shell says of a program that is not there.
const NOT_FOUND: i32 = 127;

const SET_ONE: &str = "$VISUAL, else $EDITOR, names the editor";

fn for_a_shell(c: char) -> bool {
    "|&;<>()$`\\\"'\n*?[#~=%".contains(c)
}

/// In place of the shell where that can be, so that a signal for the editor reaches it.
fn script(command: &OsStr) -> OsString {
    let text = command.to_string_lossy();
    let first = text.split_whitespace().next().unwrap_or_default();
    let one_program =
        !text.contains(['|', '&', ';', '\n', '(', ')', '{', '}', '!', '`']) && !first.contains('=');
    let mut script = OsString::from(if one_program { "exec " } else { "" });
    script.push(command);
    script.push(" \"$@\"");
    script
}

/// What the table says of a command.
fn known(command: &str, resolve: impl Fn(&str) -> Option<PathBuf>) -> Option<&'static Known> {
    let program = program(command);
    let look_up = |path: &str| {
        let name = path.rsplit(['/', std::path::MAIN_SEPARATOR]).next().unwrap_or_default();
        let name = name.split('.').next().unwrap_or_default();
        KNOWN.iter().find(|known| known.names.contains(&name))
    };
    look_up(program).or_else(|| look_up(&resolve(program)?.to_string_lossy()))
}

/// The program of a command: its first word, quoted perhaps, after variables that are set for it.
fn program(command: &str) -> &str {
    let mut rest = command.trim_start();
    loop {
        if let Some(quote @ ('"' | '\'')) = rest.chars().next() {
            return rest[1..].split(quote).next().unwrap_or_default();
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if !(word.contains('=') || matches!(word, "env" | "exec" | "command")) || after.is_empty() {
            return word;
        }
        rest = after.trim_start();
    }
}

/// The file that a program is in the end, such as `vim.basic` for `vi`.
fn resolve(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return std::fs::canonicalize(program).ok();
    }
    let path = std::env::var_os("PATH")?;
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())?;
    std::fs::canonicalize(found).ok()
}

/// Looks for the end of the editor and for a signal in turn; no person notices how often.
fn wait(child: &mut Child) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupt::requested().is_some() {
            return end(child);
        }
        std::thread::sleep(TICK);
    }
}

/// Asks it to end, and makes it end if it does not.
fn end(child: &mut Child) -> std::io::Result<ExitStatus> {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = Pid::from_child(child);
        // One that is stopped would not hear the first.
        let _ = kill_process(pid, Signal::TERM).and_then(|()| kill_process(pid, Signal::CONT));
        for _ in 0..PATIENCE_TICKS {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(TICK);
        }
    }
    child.kill()?;
    child.wait()
}

const TICK: Duration = Duration::from_millis(20);
/// Two seconds.
#[cfg(unix)]
const PATIENCE_TICKS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn first_argument(command: &str, resolved: Option<&str>) -> Option<&'static str> {
        known(command, |_| resolved.map(PathBuf::from))?.arguments.first().copied()
    }

    #[test]
    fn the_program_of_a_command_is_found() {
        for (command, found) in [
            ("vim", "vim"),
            ("  vim -u NONE", "vim"),
            ("TERM=xterm env A=b vim -n", "vim"),
            ("\"/opt/my editors/vim\" -n", "/opt/my editors/vim"),
            ("'vim'", "vim"),
            ("env", "env"),
            ("", ""),
        ] {
            assert_eq!(program(command), found, "{command}");
        }
    }

    #[test]
    fn known_editors_are_known_by_their_file_name() {
        for command in ["vim", "/usr/bin/nvim", "vim.basic -u NONE", "A=b 'vim'", "gvim -f"] {
            assert_eq!(first_argument(command, None), Some("-n"), "{command}");
        }
        assert_eq!(first_argument("nano -l", None), Some("--restricted"));
        assert_eq!(first_argument("emacs -nw", None), Some("--eval"));
        // vi is many programs; only the file behind it tells which.
        assert_eq!(first_argument("vi", Some("/usr/bin/vim.tiny")), Some("-n"));
        assert_eq!(first_argument("editor", Some("/bin/nano")), Some("--restricted"));
        for other in ["/usr/bin/vi", "/bin/busybox", "/usr/bin/nvi"] {
            assert!(known("vi", |_| Some(other.into())).is_none(), "{other}");
        }
        assert!(known("neovim-gtk", |_| None).is_none());
        let mut names: Vec<_> = KNOWN.iter().flat_map(|known| known.names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name is there twice");
    }

    #[test]
    fn editors_with_windows_have_a_flag_that_makes_them_wait() {
        for name in ["code", "subl", "gvim", "kate", "idea", "zed", "mate"] {
            assert!(!known(name, |_| None).unwrap().waits_with.is_empty(), "{name}");
        }
        assert_eq!(known("emacsclient", |_| None).unwrap().returns_with, ["-n", "--no-wait"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_is_asked_only_where_it_has_something_to_do() {
        let words = |command: &str| {
            let editor = Editor { command: command.into(), known: known(command, |_| None) };
            let command = editor.command(Path::new("/f"));
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            words.map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(words("ed -s"), ["ed", "-s", "/f"]);
        assert_eq!(words("nano -l"), ["nano", "-l", "--restricted", "/f"]);
        assert_eq!(words("nano -l --"), ["nano", "-l", "--", "/f"]);
        assert_eq!(words("'my ed' -s"), ["sh", "-c", "exec 'my ed' -s \"$@\"", "'my ed' -s", "/f"]);
        assert_eq!(words("A=b x"), ["sh", "-c", "A=b x \"$@\"", "A=b x", "/f"]);
        assert_eq!(words("a; b"), ["sh", "-c", "a; b \"$@\"", "a; b", "/f"]);
    }
}
