//! Documents that must match the tree: what README names exists, and every promise has its test.

use std::collections::BTreeSet;

use super::tree::{files, report, root};

/// The document of promises.
const SEMANTICS: &str = "docs/SEMANTICS.md";

#[test]
fn what_the_documents_link_to_exists() {
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with(".md")) {
        let folder = root().join(&file.path).parent().unwrap().to_owned();
        for (number, line) in file.lines() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
                if !link.is_empty() && !link.contains("://") && !folder.join(link).exists() {
                    broken.push(format!("{}:{number}: {link}", file.path));
                }
            }
        }
    }
    report("documents link to what exists", &broken);
}

#[test]
fn documents_that_the_readme_names_exist() {
    let readme = files().iter().find(|file| file.path == "README.md").expect("a README.md");
    let mut broken = Vec::new();
    for (number, line) in readme.lines() {
        let words = line.split(|c: char| !(c.is_alphanumeric() || "/._-".contains(c)));
        for word in words.filter(|word| word.ends_with(".md") && word.len() > 3) {
            if !root().join(word).exists() && !root().join("docs").join(word).exists() {
                broken.push(format!("README.md:{number}: {word}"));
            }
        }
    }
    report("documents that README names exist", &broken);
}

/// The tests that a document names, as `Test: \`binary::module::name\`` lines.
fn named_tests(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with("Test:") || line.starts_with("Tests:"))
        .flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect()
}

#[test]
fn every_promise_has_its_test() {
    let semantics = files().iter().find(|file| file.path == SEMANTICS).expect("docs/SEMANTICS.md");
    let named = named_tests(&semantics.text);
    assert!(named.len() >= 15, "only {} tests named in {SEMANTICS}", named.len());
    let functions: Vec<(&str, &str)> = files()
        .iter()
        .filter(|file| file.is_rust() && file.path.starts_with("tests/"))
        .flat_map(|file| file.lines().map(|(_, line)| (file.path.as_str(), line.trim_start())))
        .filter(|(_, line)| line.starts_with("fn ") && line.contains('('))
        .collect();
    let exists = |test: &str| {
        let mut parts = test.split("::");
        let (binary, function) = (parts.next().unwrap_or(""), test.rsplit("::").next().unwrap_or(""));
        functions.iter().any(|(path, line)| {
            path.starts_with(&format!("tests/{binary}/")) && line.starts_with(&format!("fn {function}("))
        })
    };
    let missing: Vec<String> = named.iter().filter(|test| !exists(test)).cloned().collect();
    report("every test that SEMANTICS.md names exists", &missing);
}

#[test]
fn every_heading_of_the_promises_names_a_test() {
    let semantics = files().iter().find(|file| file.path == SEMANTICS).expect("docs/SEMANTICS.md");
    let broken: Vec<String> = semantics
        .text
        .split("\n### ")
        .skip(1)
        .filter(|paragraph| named_tests(paragraph).is_empty())
        .map(|paragraph| paragraph.lines().next().unwrap_or("").to_owned())
        .collect();
    report("every promise (###) names its test", &broken);
}
