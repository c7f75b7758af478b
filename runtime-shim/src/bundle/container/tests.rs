#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};

use super::*;

fn request(rootfs: &std::path::Path) -> ContainerRequest {
    ContainerRequest {
        rootfs: rootfs.into(),
        read_only: false,
        volumes: Vec::new(),
        server: "127.0.0.1:7440".parse().unwrap(),
        memory: None,
        cpus: None,
        hostname: None,
        environment: Vec::new(),
        workdir: "/".into(),
        user: super::super::request::User::default(),
        name: None,
        network: Network::None,
        terminal: false,
        command: vec!["true".into()],
    }
}

fn value(request: &ContainerRequest) -> Value {
    serde_json::to_value(spec(request, "c1").unwrap()).unwrap()
}

#[test]
fn limits_volumes_and_namespaces() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = request(dir.path());
    request.memory = Some("4g".parse().unwrap());
    request.cpus = Some("1.5".parse().unwrap());
    request.volumes = ["b:/data/b:ro", "h:1/a/x:/data"].map(|text| text.parse().unwrap()).to_vec();
    request.environment = ["A=1", "A=2", "PATH=/bin"].map(Into::into).to_vec();
    let spec = value(&request);
    assert_eq!(spec["linux"]["resources"]["memory"]["limit"], 4_u64 << 30);
    assert_eq!(spec["linux"]["resources"]["cpu"], json!({ "quota": 150_000, "period": 100_000 }));
    assert_eq!(spec["linux"]["resources"]["devices"][0]["allow"], false);
    assert_eq!(spec["linux"]["cgroupsPath"], "/holdfast/c1");
    assert_eq!(spec["hostname"], "c1");
    assert_eq!(spec["process"]["env"], json!(["A=2", "PATH=/bin"]));
    let mounts = spec["mounts"].as_array().unwrap();
    let ours: Vec<&Value> = mounts.iter().filter(|mount| mount["type"] == "holdfast").collect();
    assert_eq!(*ours[0], json!({ "destination": "/data", "type": "holdfast", "source": "h:1/a/x", "options": ["rw"] }));
    assert_eq!(ours[1]["source"], "127.0.0.1:7440/b");
    assert_eq!(ours[1]["options"], json!(["ro"]));
    assert_eq!(crate::spec::Plan::read(spec.clone(), None).unwrap().wanted().len(), 2);

    let kinds = |spec: &Value| {
        let kinds = spec["linux"]["namespaces"].as_array().unwrap().iter();
        kinds.map(|one| one["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&spec), ["mount", "pid", "ipc", "uts", "cgroup", "network"]);
    request.network = Network::Host;
    assert!(!kinds(&value(&request)).contains(&"network".into()));
    request.network = Network::Namespace("/run/netns/a".into());
    assert_eq!(value(&request)["linux"]["namespaces"][5]["path"], "/run/netns/a");
}

#[test]
fn only_root_has_capabilities() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = request(dir.path());
    let count = |spec: &Value| spec["process"]["capabilities"]["effective"].as_array().unwrap().len();
    assert_eq!(count(&value(&request)), CAPABILITIES.len());
    request.user = "1000:1000".parse().unwrap();
    assert_eq!(count(&value(&request)), 0);
    assert_eq!(value(&request)["process"]["noNewPrivileges"], true);
}

#[test]
fn what_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = request(dir.path());
    let refused = |change: &dyn Fn(&mut ContainerRequest)| {
        let mut request = good.clone();
        change(&mut request);
        assert_eq!(spec(&request, "c1").unwrap_err().kind(), ErrorKind::Invalid);
    };
    spec(&good, "c1").unwrap();
    refused(&|request| request.rootfs = "/nonexistent".into());
    refused(&|request| request.rootfs = "/etc/passwd".into());
    refused(&|request| request.rootfs = "/".into());
    refused(&|request| request.command.clear());
    refused(&|request| request.command = vec![String::new()]);
    refused(&|request| request.command.push("a\0b".into()));
    refused(&|request| request.workdir = "relative".into());
    for bad in ["A", "=b", "", "A\0=b"] {
        refused(&|request| request.environment = vec![bad.into()]);
    }
    for bad in ["", "-a", "a-", "a..b", "a_b", "a b", &"a".repeat(65)] {
        refused(&|request| request.hostname = Some(bad.into()));
    }
}
