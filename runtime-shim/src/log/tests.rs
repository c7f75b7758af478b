#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

fn at(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

#[test]
fn as_runc_writes() {
    let message = "no \"volume\"\nhere";
    assert_eq!(
        line(LogFormat::Text, Level::Error, message, at(1_795_435_200)),
        "time=\"2026-11-23T12:00:00Z\" level=error msg=\"no \\\"volume\\\"\\nhere\"\n"
    );
    let json: serde_json::Value = serde_json::from_str(&line(LogFormat::Json, Level::Warning, message, at(0))).unwrap();
    assert_eq!(json, json!({"level": "warning", "msg": message, "time": "1970-01-01T00:00:00Z"}));
}

#[test]
fn dates() {
    for (secs, text) in [
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (1_735_689_599, "2024-12-31T23:59:59Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(rfc3339(Duration::from_secs(secs)), text);
    }
}

#[test]
fn it_is_appended() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    std::fs::write(&log, "before\n").unwrap();
    let words = ["--log", log.to_str().unwrap(), "--log-format", "json", "create", "c"].map(Into::into);
    tell(&Invocation::parse(&words), Level::Error, "why");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.starts_with("before\n{") && text.contains("\"holdfast: why\""), "{text}");
}
