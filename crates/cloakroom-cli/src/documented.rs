//! A test that this command accepts every command line in the documentation.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Parser as _, error::ErrorKind};

use crate::Cli;

/// A command line in the documentation.
#[derive(Debug)]
struct Documented {
    location: String,
    arguments: Vec<String>,
    /// Whether it is a complete command line in a code block, not a command name in a sentence.
    is_whole: bool,
    /// Whether the page exports the variables for table and bucket before this line.
    has_variables: bool,
}

/// The prefixes of command lines, and the verb that each prefix implies.
const COMMANDS: [(&str, Option<&str>); 3] =
    [("cargo run --release -- ", None), ("cargo demo", Some("demo")), ("cloakroom ", None)];

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages: Vec<PathBuf> = ["README.md", "infra/README.md", "localstack/README.md", ".github/CONTRIBUTING.md"]
        .into_iter()
        .chain(["crates/cloakroom-shop/README.md"])
        .map(|page| root.join(page))
        .collect();
    let docs = fs::read_dir(root.join("crates/cloakroom/src/docs")).expect("the documentation");
    pages.extend(docs.map(|entry| entry.expect("an entry").path()));
    pages
}

fn documented() -> Vec<Documented> {
    let mut found = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        let text = text.replace("\\\n", " ");
        let (mut is_block, mut has_variables) = (false, false);
        for (number, line) in text.lines().enumerate() {
            is_block ^= line.trim_start().starts_with("```");
            has_variables |= line.contains("export ") && line.contains("CLOAKROOM_TABLE=");
            let location = format!("{}:{}", page.display(), number + 1);
            let add = |code: &str| documented_in(code, &location, is_block, has_variables);
            if is_block {
                found.extend(line.trim_start().trim_start_matches("$ ").split(" | ").filter_map(add));
            } else {
                let code = line.split('`').skip(1).step_by(2).flat_map(|code| code.split(" | "));
                found.extend(code.filter_map(add));
            }
        }
    }
    found
}

fn documented_in(code: &str, location: &str, is_whole: bool, has_variables: bool) -> Option<Documented> {
    let (rest, verb) = COMMANDS.iter().find_map(|(command, verb)| Some((code.strip_prefix(command)?, *verb)))?;
    let rest = rest.split(" # ").next().unwrap_or_default();
    let is_whole = is_whole && !rest.contains('…');
    let words = verb.into_iter().chain(rest.split_whitespace());
    let arguments = words.filter(|word| *word != "…").map(str::to_owned).collect();
    Some(Documented { location: location.to_owned(), arguments, is_whole, has_variables })
}

fn error(arguments: &[String], more: &[&str]) -> Option<clap::Error> {
    let words = std::iter::once("cloakroom").chain(arguments.iter().map(String::as_str)).chain(more.iter().copied());
    Cli::try_parse_from(words).err().filter(|error| error.kind() != ErrorKind::DisplayHelp)
}

#[test]
fn every_command_line_in_the_documentation_parses() {
    let documented = documented();
    let mut problems = Vec::new();
    for Documented { location, arguments, is_whole, has_variables } in &documented {
        let Some(problem) = error(arguments, &[]) else { continue };
        let lacks = matches!(
            problem.kind(),
            ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
        if lacks && !is_whole {
            continue;
        }
        let with_variables = ["--table", "orders", "--bucket", "orders-payloads"];
        if lacks && *has_variables && error(arguments, &with_variables).is_none() {
            continue;
        }
        problems.push(format!("{location}: `cloakroom {}`: {problem}", arguments.join(" ")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let whole = documented.iter().filter(|documented| documented.is_whole).count();
    assert!(
        whole >= 20 && documented.len() >= 40,
        "only {} command lines were found, {whole} of them complete",
        documented.len()
    );
}
