//! Bad input gets a clear error and changes nothing.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use holdfast_tests::bins;
use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::command::run_limited;
use holdfast_tests::process::mortal;
use holdfast_tests::random::{self, Random};
use holdfast_tests::scratch::Scratch;
use holdfast_tests::wait::Watchdog;

const LIMIT: Duration = Duration::from_secs(60);

fn one_host(name: &str) -> (Watchdog, Cluster) {
    let watchdog = Watchdog::start(name, Duration::from_secs(120));
    let cluster = Cluster::one_host();
    cluster.volume("v");
    (watchdog, cluster)
}

fn volumes(cluster: &Cluster) -> String {
    cluster.holdfast(&["volume", "ls", "--json"]).ok()
}

#[test]
fn long_names_are_refused_by_a_mount() {
    let (_watchdog, cluster) = one_host("long names");
    let mount = cluster.mount(0, "v");
    File::create(mount.at(&"n".repeat(255))).unwrap();
    let long = mount.at(&"n".repeat(256));
    for error in [
        File::create(&long).unwrap_err(),
        fs::metadata(&long).unwrap_err(),
        fs::create_dir(&long).unwrap_err(),
        fs::rename(mount.at(&"n".repeat(255)), &long).unwrap_err(),
    ] {
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
    }
    assert_eq!(fs::read_dir(&mount.path).unwrap().count(), 1);
}

#[test]
fn volumes_that_cannot_be_are_refused() {
    let (_watchdog, cluster) = one_host("volumes");
    let before = volumes(&cluster);
    let create = |words: &[&str]| {
        let line: Vec<&str> = ["volume", "create"].into_iter().chain(words.iter().copied()).collect();
        cluster.holdfast(&line)
    };
    create(&["../up"]).refused(&["name"]);
    create(&["a/b"]).refused(&["name"]);
    create(&[&"v".repeat(129)]).refused(&["name"]);
    create(&["w", "--size", "100KiB"]).refused(&["1 MiB"]);
    create(&["w", "--size", "5EiB"]).refused(&["1 EiB"]);
    create(&["w", "--size", "many"]).refused(&["size"]);
    create(&["w", "--inodes", "0"]).refused(&["inodes"]);
    create(&["v", "--size", "1GiB"]).refused(&["v", "exists"]);
    assert_eq!(volumes(&cluster), before);
    let _ = create(&["v"]).ok();
    cluster.holdfast(&["volume", "rm", "nowhere", "--yes"]).refused(&["nowhere"]);
    cluster.holdfast(&["volume", "show", "nowhere"]).refused(&["nowhere"]);
    cluster.holdfast(&["volume", "expand", "v", "--size", "100KiB"]).refused(&["1 MiB"]);
    assert_eq!(volumes(&cluster), before);
}

#[test]
fn a_volume_in_use_is_not_removed() {
    let (_watchdog, cluster) = one_host("in use");
    let mount = cluster.mount(0, "v");
    fs::write(mount.at("f"), b"x").unwrap();
    cluster.holdfast(&["volume", "rm", "v", "--yes"]).refused(&["v"]);
    assert_eq!(fs::read(mount.at("f")).unwrap(), b"x");
    mount.unmount(&cluster, 0);
    let _ = cluster.holdfast(&["volume", "rm", "v", "--yes"]).ok();
    assert!(!volumes(&cluster).contains("\"v\""));
}

#[test]
fn mounts_that_cannot_be_are_refused() {
    let (_watchdog, cluster) = one_host("mounts");
    let host = cluster.host(0);
    let mount = |what: &str, at: &str| cluster.holdfast(&["mount", &format!("{}/{what}", cluster.address()), at]);
    let dir = host.dir("at").to_string_lossy().into_owned();
    mount("nowhere", &dir).refused(&["nowhere"]);
    mount("v/no/such/dir", &dir).refused(&["no/such/dir"]);
    mount("v", &format!("{dir}/missing")).refused(&["missing"]);
    cluster.holdfast(&["mount", &format!("{}/v", cluster.address()), &dir, "-o", "flying"]).refused(&["flying"]);
    mount("../v", &dir).refused(&["volume"]);
    fs::write(host.see(&host.dir("at").join("file")), b"x").unwrap();
    mount("v", &format!("{dir}/file")).refused(&["directory"]);
    fs::remove_file(host.see(&host.dir("at").join("file"))).unwrap();
    let nobody = cluster.holdfast(&["mount", "127.0.0.1:9/v", &dir]);
    nobody.refused(&["127.0.0.1:9"]);
    assert!(!holdfast_tests::mount::is_mounted(host, &host.dir("at")));
}

#[test]
fn a_busy_mount_point_is_refused_and_a_busy_mount_stays() {
    let (_watchdog, cluster) = one_host("busy");
    let mount = cluster.mount(0, "v");
    let at = mount.inside.to_string_lossy().into_owned();
    cluster.holdfast(&["mount", &format!("{}/v", cluster.address()), &at]).refused(&["mount"]);
    let host = cluster.host(0);
    let mut inside = holdfast_tests::process::Process::start(
        "busy",
        host.program(&["sh", "-c", &format!("cd {at} && exec sleep 600")]),
        &host.log("busy"),
    );
    holdfast_tests::wait::until_true("a process in the mount", LIMIT, || {
        fs::read_link(format!("/proc/{}/cwd", inside.pid()))
            .is_ok_and(|cwd| cwd.ends_with(mount.inside.file_name().unwrap()))
    });
    cluster.holdfast(&["umount", &at]).refused(&["in use", "sleep"]);
    fs::write(mount.at("f"), b"still works").unwrap();
    inside.kill();
    mount.unmount(&cluster, 0);
    cluster.holdfast(&["umount", &at]).refused(&["mount"]);
}

#[test]
fn a_host_without_dev_fuse_is_told() {
    let (_watchdog, cluster) = one_host("no /dev/fuse");
    let host = cluster.host(0);
    let hide = "mount -t tmpfs none /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && mknod /dev/zero c 1 5";
    let _ = host.sh(hide).ok();
    let dir = host.dir("at").to_string_lossy().into_owned();
    cluster.holdfast(&["mount", &format!("{}/v", cluster.address()), &dir]).refused(&["/dev/fuse"]);
    assert!(!holdfast_tests::mount::is_mounted(host, &host.dir("at")));
    assert_eq!(cluster.show("v").mounts, 0, "no session is left");
}

#[test]
fn wrong_tokens_are_refused() {
    let (_watchdog, cluster) = one_host("tokens");
    let scratch = Scratch::new("token");
    let wrong = scratch.path().join("wrong");
    fs::write(&wrong, "another-token-0123456789").unwrap();
    let with = |words: &[&str], token: Option<&std::path::Path>| {
        let mut command = cluster.command(0, "holdfast");
        command.args(words).env_remove("HOLDFAST_TOKEN_FILE");
        if let Some(token) = token {
            command.env("HOLDFAST_TOKEN_FILE", token);
        }
        run_limited(command, LIMIT)
    };
    let dir = cluster.host(0).dir("at").to_string_lossy().into_owned();
    let volume = format!("{}/v", cluster.address());
    for words in [&["volume", "ls"][..], &["volume", "create", "w"], &["mount", &volume, &dir]] {
        with(words, None).refused(&["token"]);
        with(words, Some(&wrong)).refused(&["token"]);
    }
    assert!(!volumes(&cluster).contains("\"w\""));
    let text = with(&["volume", "ls"], Some(&wrong)).text;
    assert!(!text.contains("another-token"), "a token was shown: {text}");
    assert!(!cluster.server_log().contains("another-token"), "a token was logged");
}

#[test]
fn wrong_certificates_are_refused() {
    let _watchdog = Watchdog::start("certificates", Duration::from_secs(120));
    let cluster = Cluster::lan(&["host-a"]);
    let scratch = Scratch::new("other-ca");
    let other = scratch.path().join("tls");
    let mut make = mortal(bins::ours("holdfast"));
    make.args(["tls", "init", "--server-name", "10.77.0.1", "--dir"]).arg(&other);
    let _ = run_limited(make, LIMIT).ok();
    let ls = |ca: Option<std::path::PathBuf>, cert: Option<std::path::PathBuf>| {
        let mut command = cluster.command(0, "holdfast");
        for name in ["HOLDFAST_TLS_CA", "HOLDFAST_TLS_CERT", "HOLDFAST_TLS_KEY"] {
            command.env_remove(name);
        }
        if let Some(ca) = ca {
            command.env("HOLDFAST_TLS_CA", ca);
        }
        if let Some(dir) = cert {
            command
                .env("HOLDFAST_TLS_CERT", dir.join("client.pem"))
                .env("HOLDFAST_TLS_KEY", dir.join("client-key.pem"));
        }
        command.args(["volume", "ls"]);
        run_limited(command, LIMIT)
    };
    let right = cluster.tls("ca.pem");
    let _ = ls(Some(right.clone()), Some(cluster.tls(""))).ok();
    // In TLS 1.3 the client is through with its handshake before the server refuses it, so it only
    // sees that the connection ends: it names what there is to look at.
    ls(Some(right.clone()), None).refused(&["certificate"]);
    ls(Some(right), Some(other.clone())).refused(&["TLS files"]);
    ls(Some(other.join("ca.pem")), Some(cluster.tls(""))).refused(&["certificate"]);
    ls(None, None).refused(&[]);
}

#[test]
fn a_data_directory_in_use_or_of_another_version_is_left_alone() {
    let (_watchdog, mut cluster) = one_host("data directory");
    run_limited(cluster.server_command(), LIMIT).refused(&["use"]);
    cluster.stop();
    let format = cluster.data().join("format");
    let right = fs::read(&format).unwrap();
    fs::write(&format, "holdfast data 999\n").unwrap();
    run_limited(cluster.server_command(), LIMIT).refused(&["format", "999"]);
    assert_eq!(fs::read(&format).unwrap(), b"holdfast data 999\n");
    fs::write(&format, right).unwrap();
    cluster.start();
    assert!(volumes(&cluster).contains("\"v\""));
    let foreign = Scratch::new("foreign");
    fs::write(foreign.path().join("precious"), b"x").unwrap();
    let mut command = mortal(bins::ours("holdfastd"));
    command.arg("--data").arg(foreign.path()).args(["--listen", "127.0.0.1:0"]);
    run_limited(command, LIMIT).refused(&["not a holdfast data directory"]);
    assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1);
}

#[test]
fn an_open_address_without_tls_is_refused() {
    let _watchdog = Watchdog::start("open address", Duration::from_secs(60));
    let scratch = Scratch::new("open-address");
    let mut command = mortal(bins::ours("holdfastd"));
    command.arg("--data").arg(scratch.path().join("data")).args(["--listen", "0.0.0.0:0"]);
    run_limited(command, LIMIT).refused(&["tls", "--tls-cert"]);
}

#[test]
fn garbage_on_the_port_hurts_nobody() {
    let _watchdog = Watchdog::start("garbage", Duration::from_secs(120));
    let mut cluster = Cluster::machine_with(Options::default());
    cluster.volume("v");
    let mut random = Random::new(random::seed("garbage"));
    let starts: [&[u8]; 4] =
        [b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00"];
    for round in 0..40 {
        let mut stream = TcpStream::connect(cluster.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let len = random.index(20_000);
        let _ = stream.write_all(starts[round % 4]).and_then(|()| stream.write_all(&random.bytes(len)));
        let _ = stream.read(&mut [0; 1000]);
    }
    assert!(cluster.server().ended().is_none(), "the server died of garbage");
    assert!(volumes(&cluster).contains("\"v\""));
    assert!(!cluster.server_log().contains("panicked"));
}
