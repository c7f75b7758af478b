#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

fn parse(text: &str) -> Result<Settings> {
    Settings::parse(text, Path::new("/s"))
}

#[test]
fn lines() {
    let settings = parse("# a comment\n\n HOLDFAST_X1 = a=b \nHOLDFAST_Y=\"q 'r'\"\nHOLDFAST_Z=\n").unwrap();
    assert_eq!(settings.get("HOLDFAST_X1").unwrap(), "a=b");
    assert_eq!(settings.get("HOLDFAST_Y").unwrap(), "q 'r'");
    assert_eq!(settings.for_programs().len(), 3);
    assert_eq!(settings.get("PATH"), std::env::var_os("PATH"));
}

#[test]
fn wrong_lines_are_named() {
    for bad in ["x", "X=1", "HOLDFAST_=1", "holdfast_x=1", "export HOLDFAST_X=1", "=", "HOLDFAST_X=a\0b"] {
        let error = parse(&format!("\n{bad}")).unwrap_err();
        assert!(error.message().starts_with("/s line 2: "), "{bad:?}: {error}");
    }
}

#[test]
fn a_file_that_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Settings::read(&dir.path().join("none"), false).unwrap().for_programs().is_empty());
    assert_eq!(Settings::read(&dir.path().join("none"), true).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(Settings::read(dir.path(), false).is_err());
}
