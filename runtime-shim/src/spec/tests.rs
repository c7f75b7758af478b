#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use serde_json::json;

use super::*;

const SERVER: Option<&str> = Some("env:1");

fn plan(config: Value) -> Result<Plan> {
    Plan::read(config, SERVER)
}

fn annotated(pairs: &[(&str, &str)]) -> Value {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
    json!({ "annotations": Value::Object(pairs.collect()) })
}

fn refused(config: Value) -> String {
    let error = plan(config).expect_err("it must be refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().len() < 2000, "an error message of {} bytes", error.message().len());
    error.message().to_owned()
}

fn sources(plan: &Plan) -> Vec<Source> {
    let source = |index| Source { path: format!("/run/h/{index}"), nosuid: index != 1, nodev: index != 1 };
    (0..plan.wanted().len()).map(source).collect()
}

fn hook() -> Hook {
    Hook {
        path: "/usr/bin/holdfast-runtime".into(),
        arguments: vec!["holdfast-runtime".into(), HOOK_VERB.into(), "oci:/r:c".into()],
        environment: vec!["A=b".into()],
        timeout_secs: 9,
    }
}

/// A specification with everything: annotations, mounts, foreign fields, numbers at the limits.
fn everything() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "annotations": {
            "org.example": "kept",
            "dev.holdfast.server": "annotated:2",
            "dev.holdfast.volume.10": "late:/ten",
            "dev.holdfast.volume.2": "[::1]:7/early/a b:/two/:ro",
        },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/ten/below", "type": "tmpfs", "source": "tmpfs" },
            { "destination": "/mounted", "type": "holdfast", "source": "vol/x", "x-more": { "kept": true },
              "options": ["noexec", "ro", "server=opt:3", "rslave"] },
            { "destination": "/last", "type": "bind", "source": "/etc", "options": ["rbind"] },
        ],
        "hooks": { "poststop": [{ "path": "/bin/true" }], "prestart": null },
        "linux": { "resources": { "memory": { "limit": u64::MAX, "swap": i64::MIN } } },
        "x-unknown": [null, { "deep": "kept" }],
    })
}

#[test]
fn golden() {
    let plan = plan(everything()).unwrap();
    let wanted: Vec<String> = plan
        .wanted()
        .iter()
        .map(|one| {
            let subdir = one.subdir.as_ref().map_or("-", |subdir| subdir.as_str());
            format!("{} {subdir} {} {}", one.volume, one.destination, one.read_only)
        })
        .collect();
    assert_eq!(wanted, ["[::1]:7/early a b /two true", "annotated:2/late - /ten false", "opt:3/vol x /mounted true"]);

    let sources = sources(&plan);
    let mut expected = everything();
    let applied = json!([
        { "destination": "/two" },
        { "destination": "/ten" },
        { "destination": "/mounted", "original": everything()["mounts"][2] },
    ]);
    expected["annotations"]["dev.holdfast.applied"] = applied.to_string().into();
    expected["mounts"] = json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/ten", "type": "bind", "source": "/run/h/1", "options": ["bind", "rprivate", "rw"] },
        { "destination": "/ten/below", "type": "tmpfs", "source": "tmpfs" },
        { "destination": "/mounted", "type": "bind", "source": "/run/h/2", "x-more": { "kept": true },
          "options": ["noexec", "rslave", "bind", "nosuid", "nodev", "ro"] },
        { "destination": "/last", "type": "bind", "source": "/etc", "options": ["rbind"] },
        { "destination": "/two", "type": "bind", "source": "/run/h/0",
          "options": ["bind", "rprivate", "nosuid", "nodev", "ro"] },
    ]);
    expected["hooks"]["poststop"] = json!([
        { "path": "/bin/true" },
        { "path": "/usr/bin/holdfast-runtime", "args": ["holdfast-runtime", "holdfast-release", "oci:/r:c"],
          "env": ["A=b"], "timeout": 9 },
    ]);
    assert_eq!(plan.apply(&sources, Some(&hook())), expected);
}

#[test]
fn a_bundle_can_be_started_again() {
    let first = plan(everything()).unwrap();
    let sources = sources(&first);
    let wanted = first.wanted().to_vec();
    let rewritten = first.apply(&sources, Some(&hook()));

    let again = plan(rewritten.clone()).unwrap();
    assert_eq!(again.wanted(), wanted);
    assert_eq!(Value::Object(again.spec.clone()), everything());
    assert_eq!(again.apply(&sources, Some(&hook())), rewritten);
}

#[test]
fn nothing_wanted() {
    for config in [json!({}), json!({ "mounts": null, "annotations": null }), json!({ "mounts": [{ "type": 3 }, 7] })] {
        assert_eq!(plan(config).unwrap().wanted(), []);
    }
    for config in [json!([]), json!(null), json!("x"), json!({ "mounts": {} }), json!({ "annotations": [] })] {
        refused(config);
    }
    refused(json!({ "hooks": { "poststop": {} } }));
    refused(annotated(&[("dev.holdfast.applied", "garbage")]));
}

#[test]
fn missing_members_are_made() {
    let plan = plan(annotated(&[("dev.holdfast.volume.0", "v:/d")])).unwrap();
    let sources = sources(&plan);
    let spec = plan.apply(&sources, Some(&hook()));
    assert_eq!(spec["mounts"][0]["destination"], "/d");
    assert_eq!(spec["hooks"]["poststop"].as_array().unwrap().len(), 1);
}

#[test]
fn where_the_server_is_named() {
    let server = |config: Value, environment| {
        Plan::read(config, environment).map(|plan| plan.wanted()[0].volume.server.to_string())
    };
    let volume = ("dev.holdfast.volume.0", "v:/d");
    assert_eq!(server(annotated(&[volume]), SERVER).unwrap(), "env:1");
    assert_eq!(server(annotated(&[volume, ("dev.holdfast.server", "a:2")]), SERVER).unwrap(), "a:2");
    assert_eq!(server(annotated(&[("dev.holdfast.volume.0", "h:9/v:/d")]), Some("bad server")).unwrap(), "h:9");
    let mount = |source: &str, option: &str| json!({ "mounts": [{ "type": "holdfast", "destination": "/d", "source": source, "options": [option] }] });
    assert_eq!(server(mount("v", "server=o"), None).unwrap(), "o:7440");
    assert_eq!(server(mount("o:7440/v", "server=o"), None).unwrap(), "o:7440");
    assert!(server(mount("p:1/v", "server=o"), None).unwrap_err().message().contains("name one"));
    assert!(server(annotated(&[volume]), None).unwrap_err().message().contains("no server is named"));
    assert!(server(annotated(&[volume]), Some("bad server")).unwrap_err().message().contains("HOLDFAST_SERVER"));
}

#[test]
fn hostile_annotations() {
    let huge = "x".repeat(10 << 20);
    let long_path = format!("v:/{}", "d/".repeat(3000));
    for value in [
        "",
        ":",
        "/",
        ":/",
        "v",
        "v:",
        "v:d",
        "v:/",
        "v://",
        "v:///",
        ":/d",
        "/v:/d",
        "v:/..",
        "v:/d/../e",
        "v:/./d",
        "v:/d//e",
        "v:/d\0",
        "v:/d\n",
        "v:/d:rx",
        "v:/d:ro:rw",
        "v:/d:",
        "v/..:/d",
        "../v:/d",
        "..:/d",
        "v/:/d",
        "v//a:/d",
        "v w:/d",
        "h:0/v:/d",
        "h:99999/v:/d",
        "h:1/:/d",
        "-o:/d",
        "v,w:/d",
        "v/a\0:/d",
        &huge,
        &format!("{huge}:/d"),
        &format!("v:/{huge}"),
        &format!("v/{huge}:/d"),
        &format!("h{huge}:1/v:/d"),
        &long_path,
    ] {
        refused(annotated(&[("dev.holdfast.volume.0", value)]));
    }
    for name in [
        "dev.holdfast.volume.",
        "dev.holdfast.volume.x",
        "dev.holdfast.volumes.0",
        "dev.holdfast.volume.-1",
        "dev.holdfast.",
    ] {
        refused(annotated(&[(name, "v:/d")]));
    }
    refused(annotated(&[(&format!("dev.holdfast.{huge}"), "v:/d")]));
    refused(annotated(&[("dev.holdfast.server", &huge), ("dev.holdfast.volume.0", "v:/d")]));
    refused(json!({ "annotations": { "dev.holdfast.volume.0": 7 } }));
    let many = (0..=VOLUMES_MAX).map(|n| (format!("{ANNOTATION_VOLUME}{n}"), Value::from(format!("v:/d{n}"))));
    refused(json!({ "annotations": Value::Object(many.collect()) }));
}

#[test]
fn hostile_mounts() {
    let huge = "x".repeat(10 << 20);
    let mount = |field: &str, value: Value| {
        let mut mount = json!({ "type": "holdfast", "destination": "/d", "source": "v", "options": [] });
        mount[field] = value;
        json!({ "mounts": [mount] })
    };
    plan(mount("options", Value::Null)).unwrap();
    for value in [json!(null), json!(7), json!(""), json!("d"), json!("../d"), json!("/"), json!("/d/.."), json!(huge)]
    {
        refused(mount("destination", value));
    }
    for value in [json!(null), json!({}), json!(""), json!("/etc"), json!("v/../../etc"), json!("."), json!(huge)] {
        refused(mount("source", value));
    }
    for value in [
        json!("ro"),
        json!([1]),
        json!(["suid"]),
        json!(["dev"]),
        json!(["server="]),
        json!(["rw,suid"]),
        json!([huge]),
    ] {
        refused(mount("options", value));
    }
}

#[test]
fn one_place_one_mount() {
    let two = annotated(&[("dev.holdfast.volume.0", "v:/d"), ("dev.holdfast.volume.1", "w:/d/")]);
    assert!(refused(two).contains("same path"));
    for other in ["/d", "d", "/d/", "//d", "/x/../d", "/./d"] {
        let mut config = annotated(&[("dev.holdfast.volume.0", "v:/d")]);
        config["mounts"] = json!([{ "destination": other, "type": "bind", "source": "/x" }]);
        assert!(refused(config).contains("another mount"), "{other}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_it(name in "(dev\\.holdfast\\.)?(volume\\.)?[0-9]{0,3}\\PC{0,5}", value in "\\PC{0,40}") {
        if let Ok(plan) = plan(annotated(&[(&name, &value)])) {
            let sources = sources(&plan);
            prop_assert!(plan.apply(&sources, None).is_object());
        }
    }

    #[test]
    fn what_is_accepted_is_plain(value in "(h:1/)?[a-v./]{1,8}:/[a-d./:]{1,8}(:ro)?") {
        if let Ok(argument) = value.parse::<VolumeArgument>() {
            let path = argument.destination.as_str();
            prop_assert!(path.starts_with('/') && !path.ends_with('/'));
            let subdir = argument.volume.subdir.map_or(String::new(), |subdir| subdir.as_str().to_owned());
            prop_assert!(path[1..].split('/').all(|name| !matches!(name, "" | "." | "..")));
            prop_assert!(subdir.is_empty() || subdir.split('/').all(|name| !matches!(name, "" | "." | "..")));
        }
    }
}
