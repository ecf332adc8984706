//! All commands on one page, out of the definitions that the help comes from.

use clap::{Arg, ArgAction, Command};
use std::fmt::Write as _;

/// The page.
pub(super) fn page(mut root: Command) -> String {
    // Fills in the names by which usages call the commands.
    root.build();
    let mut page = String::from(HEAD);
    let mut commands = Vec::new();
    collect(&root, "", &mut commands);
    for (path, _) in &commands {
        let _ = writeln!(page, "- [`{path}`](#{})", path.replace(' ', "-"));
    }
    for (path, command) in commands {
        section(&mut page, &path, command);
    }
    page
}

/// A command and those below it, each with its whole name.
fn collect<'a>(command: &'a Command, above: &str, all: &mut Vec<(String, &'a Command)>) {
    let path = format!("{above}{}", command.get_name());
    let below = format!("{path} ");
    all.push((path, command));
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        collect(inner, &below, all);
    }
}

fn section(page: &mut String, path: &str, command: &Command) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let _ = write!(page, "\n## `{path}`\n");
    let about = command.get_long_about().or(command.get_about());
    if let Some(about) = about {
        let _ = write!(page, "\n{}\n", prose(&about.to_string()));
    }
    let _ = write!(page, "\n```text\n{usage}\n```\n");
    for (heading, arguments) in grouped(command) {
        let _ = write!(page, "\n**{heading}**\n\n");
        arguments.into_iter().for_each(|argument| entry(page, argument));
    }
    if let Some(after) = command.get_after_long_help().or(command.get_after_help()) {
        let _ = write!(page, "\n```text\n{}\n```\n", after.to_string().trim());
    }
}

/// Arguments and options under their headings, as the help has them; without those that every command has.
fn grouped(command: &Command) -> Vec<(&str, Vec<&Arg>)> {
    let mut groups: Vec<(&str, Vec<&Arg>)> = vec![("Arguments", Vec::new()), ("Options", Vec::new())];
    for argument in command.get_arguments() {
        let common = matches!(
            argument.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        );
        if common || argument.is_hide_set() {
            continue;
        }
        let plain = if argument.is_positional() { "Arguments" } else { "Options" };
        let heading = argument.get_help_heading().filter(|_| !argument.is_positional()).unwrap_or(plain);
        match groups.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, arguments)) => arguments.push(argument),
            None => groups.push((heading, vec![argument])),
        }
    }
    groups.retain(|(_, arguments)| !arguments.is_empty());
    groups
}

fn entry(page: &mut String, argument: &Arg) {
    let names = [
        argument.get_short().map(|short| format!("-{short}")),
        argument.get_long().map(|long| format!("--{long}")),
    ];
    let names = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let values = match argument.get_action().takes_values() {
        true => {
            argument.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect()
        }
        false => Vec::new(),
    };
    let signature = [names, values.join(" ")].into_iter().filter(|part| !part.is_empty());
    let _ = write!(page, "- `{}`", signature.collect::<Vec<_>>().join(" "));
    if let Some(help) = argument.get_long_help().or(argument.get_help()) {
        let _ = write!(page, ": {}", prose(&help.to_string()).replace("\n\n", " ").replace('\n', " "));
    }
    for fact in facts(argument) {
        let _ = write!(page, ". {fact}");
    }
    page.push('\n');
}

fn facts(argument: &Arg) -> Vec<String> {
    let mut facts = Vec::new();
    let code =
        |texts: Vec<String>| texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ");
    let possible: Vec<_> = argument
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .collect();
    if argument.get_action().takes_values() && !possible.is_empty() {
        facts.push(format!("Values: {}", code(possible)));
    }
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        facts.push(format!("Default: {}", code(defaults)));
    }
    if let Some(variable) = argument.get_env() {
        facts.push(format!("Environment: `{}`", variable.to_string_lossy()));
    }
    if argument.is_required_set() {
        facts.push("Required".to_owned());
    }
    facts
}

/// Help is plain text: what Markdown would take for its own is escaped, outside of backticks.
fn prose(text: &str) -> String {
    let parts = text.trim().split('`').enumerate().map(|(index, part)| match index % 2 {
        0 => part.chars().fold(String::new(), |mut out, character| {
            if matches!(character, '<' | '>' | '*' | '_' | '[' | ']' | '\\' | '|') {
                out.push('\\');
            }
            out.push(character);
            out
        }),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

const HEAD: &str = "\
<!-- Generated by `cargo xtask generate` from the definitions in cli/src/commands. Do not edit. -->

# Reference of the command line

Every command with its options, as `privyseal COMMAND --help` shows them. [The command line](../cli.md) says what they are
for. Every command has `-h` and `--help`.

";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Cli;
    use clap::CommandFactory as _;

    #[test]
    fn every_option_of_every_command_is_there_and_nothing_that_is_hidden() {
        let page = page(Cli::command());
        let mut root = Cli::command();
        root.build();
        let mut commands = Vec::new();
        collect(&root, "", &mut commands);
        assert!(commands.len() > 10);
        let sections: Vec<_> = page.split("\n## `").skip(1).collect();
        for ((path, command), section) in commands.iter().zip(&sections) {
            assert!(section.starts_with(&format!("{path}`\n")), "{path}: {section}");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let Some(long) = argument.get_long().filter(|long| !["help", "version"].contains(long))
                else {
                    continue;
                };
                let lines = section.lines().filter(|line| {
                    line.starts_with(&format!("- `--{long}")) || line.contains(&format!(", --{long}"))
                });
                assert!(lines.count() >= 1, "{path} --{long}: {section}");
            }
        }
        assert_eq!(commands.len(), sections.len());
        assert!(!page.contains("privyseal reference"), "it is hidden");
        assert!(page.contains("Environment: `PRIVYSEAL_TRUST`"));
        assert!(page.contains("Default: `text`"));
    }

    #[test]
    fn what_markdown_would_take_for_its_own_is_escaped() {
        assert_eq!(prose("a <b> `c <d>` *e*\n"), "a \\<b\\> `c <d>` \\*e\\*");
    }
}
