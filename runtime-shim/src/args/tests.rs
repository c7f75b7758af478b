use super::*;

fn parse(line: &str) -> Invocation {
    Invocation::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
}

fn creation(line: &str) -> Creation {
    match parse(line).verb {
        Verb::Create(creation) | Verb::Run(creation) => creation,
        verb => panic!("{line:?} is {verb:?}"),
    }
}

#[test]
fn as_containerd_calls() {
    let call = parse(
        "--root /run/docker/runtime-runc/moby --log /b/log.json --log-format json --systemd-cgroup \
         create --bundle /b --pid-file /b/init.pid --console-socket /t/pty.sock c1",
    );
    assert_eq!(call.root.as_deref(), Some(Path::new("/run/docker/runtime-runc/moby")));
    assert_eq!(call.log.as_deref(), Some(Path::new("/b/log.json")));
    assert_eq!(call.log_format, LogFormat::Json);
    assert_eq!(call.global_words, 7);
    let Verb::Create(creation) = call.verb else { panic!("no create") };
    assert_eq!(creation.id.as_deref(), Some(OsStr::new("c1")));
    assert_eq!(creation.config_path(), Path::new("/b/config.json"));
}

#[test]
fn as_conmon_calls() {
    let call = parse("--log-format=json --log=/l --root=/run/runc create --bundle=/b --pid-file=/p c1");
    assert_eq!((call.log_format, call.log), (LogFormat::Json, Some("/l".into())));
    assert!(matches!(call.verb, Verb::Create(_)));
    assert!(matches!(parse("--log-format json --log /l delete --force c1").verb, Verb::Delete { regex: false, .. }));
}

#[test]
fn bundles_and_ids() {
    assert_eq!(creation("create c1").config_path(), Path::new("./config.json"));
    assert_eq!(creation("run -b /b -d c1").id.as_deref(), Some(OsStr::new("c1")));
    assert!(creation("run -b /b -d c1").detach);
    assert!(creation("run --detach=true c1").detach);
    assert!(!creation("run --detach=false c1").detach);
    assert!(!creation("run --keep c1").detach);
    assert_eq!(creation("run --preserve-fds 3 c1 -b /b").id.as_deref(), Some(OsStr::new("c1")));
    assert_eq!(creation("run --preserve-fds 3 c1 -b /b").bundle.as_deref(), Some(Path::new("/b")));
    assert_eq!(creation("create -f /c.json c1").config_path(), Path::new("/c.json"));
    assert_eq!(creation("run -- -c1").id.as_deref(), Some(OsStr::new("-c1")));
    assert_eq!(creation("run -b").id, None);
}

#[test]
fn unknown_flags_do_not_disturb() {
    for line in [
        "--new-flag create -b /b c1",
        "--new-flag value create -b /b c1",
        "--new-flag=value create -b /b c1",
        "--debug create --new -b /b c1",
        "--new-flag --debug create -b /b c1",
        "-debug -log /l create -bundle /b c1",
    ] {
        let creation = creation(line);
        assert_eq!(creation.bundle.as_deref(), Some(Path::new("/b")), "{line}");
        assert_eq!(creation.id.as_deref(), Some(OsStr::new("c1")), "{line}");
    }
}

#[test]
fn the_rest_passes() {
    for line in
        ["", "--help", "state c1", "exec c1 create", "kill c1 KILL", "--root create state c1", "spec", "-", "--"]
    {
        assert_eq!(parse(line).verb, Verb::Other, "{line:?}");
    }
    for line in ["--version", "-v", "--debug --version", "--version create"] {
        assert_eq!(parse(line).verb, Verb::Version, "{line}");
    }
    assert_eq!(parse("--root").root, None);
    assert_eq!(parse("delete").verb, Verb::Delete { id: None, regex: false });
    assert_eq!(parse("delete -f c1").verb, Verb::Delete { id: Some("c1".into()), regex: false });
    assert_eq!(parse("delete --regex .*").verb, Verb::Delete { id: Some(".*".into()), regex: true });
}

#[test]
fn words_that_are_no_text() {
    let words = [OsStr::from_bytes(b"--\xff"), OsStr::new("create"), OsStr::from_bytes(b"c\xff")];
    let call = Invocation::parse(&words.map(OsStr::to_owned));
    let Verb::Create(creation) = call.verb else { panic!("no create") };
    assert_eq!(creation.id.as_deref(), Some(OsStr::from_bytes(b"c\xff")));
}
