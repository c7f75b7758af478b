#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory as _;

use super::*;

/// The help of a command and of all below it, as people see it on a terminal of 100 columns.
fn help(command: &mut clap::Command, path: &str, depth: usize, text: &mut String) {
    let path = format!("{path}{}", command.get_name());
    let mut shown = if depth == 0 { command.clone() } else { command.clone().mut_args(hide_global) };
    let rendered = shown.render_long_help().to_string();
    let lines: Vec<&str> = rendered.lines().map(str::trim_end).collect();
    write!(text, "{path}\n{}\n\n{}\n\n", "=".repeat(path.len()), lines.join("\n").trim_end()).unwrap();
    for inner in command.get_subcommands_mut().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        help(inner, &format!("{path} "), depth + 1, text);
    }
}

fn hide_global(arg: clap::Arg) -> clap::Arg {
    if arg.is_global_set() { arg.hide(true) } else { arg }
}

/// Every change of the command line shows in review, as a change of `cli/help.txt`.
#[test]
fn the_command_line_is_the_one_that_was_reviewed() {
    // The global options are told once, at the top.
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = String::new();
    help(&mut command, "", 0, &mut text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("help.txt");
    if std::env::var_os("HOLDFAST_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap();
    assert!(
        reviewed == text,
        "the help differs from cli/help.txt; if that is meant, run this test with HOLDFAST_UPDATE_GOLDEN=1.\n\
        It is now:\n{text}"
    );
}

#[test]
fn clap_finds_no_mistake() {
    Cli::command().debug_assert();
}

#[test]
fn global_options_stand_anywhere() {
    for words in [&["--json", "--server", "s:1", "status"][..], &["status", "--json", "--server", "s:1"]] {
        let cli = Cli::try_parse_from(["holdfast"].iter().chain(words)).unwrap();
        assert!(cli.global.json);
        assert_eq!(cli.global.server().to_string(), "s:1");
    }
    assert!(Cli::try_parse_from(["holdfast", "status", "--server", "a b"]).is_err());
}
