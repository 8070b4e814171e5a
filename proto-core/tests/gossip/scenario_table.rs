//! The tables of what others test name tests of ours that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LEFT_OUT: &str = "left out: ";

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The tables, by their names.
fn tables() -> Vec<(String, String)> {
    let files = fs::read_dir(package().join("tests/gossip")).expect("this folder");
    let paths = files.map(|file| file.expect("a file").path());
    let mut tables: Vec<_> = paths
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            let is_table = name.starts_with("SCENARIOS-") && name.ends_with(".md");
            is_table.then(|| (name, fs::read_to_string(path).expect("a table")))
        })
        .collect();
    tables.sort();
    tables
}

/// The rows of a table, without its head: their test, and what we say of it.
fn rows(table: &str) -> Vec<(&str, &str)> {
    let lines = table.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let rows = lines.filter_map(|line| line.split_once('|'));
    let rows = rows.map(|(theirs, ours)| (theirs.trim(), ours.trim()));
    rows.filter(|(theirs, _)| *theirs != "Theirs" && !theirs.starts_with("---")).collect()
}

/// What is between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Where a file is that a table names: in this folder, if it has no other.
fn path_of(file: &str) -> PathBuf {
    if file.contains('/') {
        return package().join(file);
    }
    package().join("tests/gossip").join(file)
}

/// The tests that a row names, each with its file: a file stands before its tests.
fn cited(ours: &str) -> Vec<(&str, &str)> {
    let mut file = None;
    let mut cited = Vec::new();
    for name in quoted(ours) {
        if name.ends_with(".rs") {
            file = Some(name);
        } else {
            cited.push((file.unwrap_or_else(|| panic!("no file before {name}")), name));
        }
    }
    cited
}

#[test]
fn every_test_that_a_table_names_exists() {
    let tables = tables();
    assert!(!tables.is_empty());
    for (table, text) in tables {
        let rows = rows(&text);
        assert!(rows.len() > 10, "{table} has {} rows", rows.len());
        for (theirs, ours) in rows {
            if let Some(reason) = ours.strip_prefix(LEFT_OUT) {
                assert!(reason.len() > 10, "{table}: {theirs} has no reason");
                continue;
            }
            let cited = cited(ours);
            assert!(!cited.is_empty(), "{table}: {theirs} has neither a test nor a reason");
            for (file, test) in cited {
                let source = fs::read_to_string(path_of(file));
                let source = source.unwrap_or_else(|error| panic!("{table}: {file}: {error}"));
                assert!(source.contains(&format!("fn {test}(")), "{table}: no {test} in {file}");
            }
        }
    }
}

#[test]
fn a_table_names_each_of_their_tests_once_and_as_many_as_its_headings_say() {
    for (table, text) in tables() {
        for section in text.split("\n## ").skip(1) {
            let heading = section.lines().next().expect("a heading");
            let theirs: Vec<_> = rows(section).into_iter().map(|(theirs, _)| theirs).collect();
            let different: BTreeSet<_> = theirs.iter().collect();
            assert_eq!(different.len(), theirs.len(), "{table}: {heading}");
            let stated = heading.rsplit_once('(').and_then(|(_, count)| count.strip_suffix(')'));
            if let Some(stated) = stated.and_then(|count| count.parse::<usize>().ok()) {
                assert_eq!(theirs.len(), stated, "{table}: {heading}");
            }
        }
    }
}
