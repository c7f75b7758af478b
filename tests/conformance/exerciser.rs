//! fsx: one file under random operations, each read compared with what was written.

use std::fs;
use std::time::Duration;

use holdfast_tests::bins;
use holdfast_tests::cluster::Cluster;
use holdfast_tests::command::run_limited;
use holdfast_tests::random::{self, size};
use holdfast_tests::wait::Watchdog;

const CONFIG: &str = "
flen = 1048576
[opsize]
max = 131072
[weights]
close_open = 1.0
invalidate = 1.0
mapread = 10.0
mapwrite = 10.0
read = 20.0
write = 20.0
truncate = 5.0
fsync = 1.0
fdatasync = 1.0
posix_fallocate = 3.0
punch_hole = 5.0
sendfile = 5.0
copy_file_range = 5.0
posix_fadvise = 1.0
";

#[test]
fn fsx_on_one_mount() {
    let operations = size("HOLDFAST_FSX_OPS", 4000, 1_000_000);
    let limit = Duration::from_secs(if random::torture() { 4 * 3600 } else { 200 });
    let _watchdog = Watchdog::start("fsx", limit + Duration::from_secs(60));
    let exerciser = bins::tool("fsx", "cargo install fsx --version 0.3.2 --locked");
    let seed = random::seed("fsx") % (1 << 31);
    let cluster = Cluster::one_host();
    cluster.volume("fsx");
    let mount = cluster.mount(0, "fsx");
    let host = cluster.host(0);
    let config = host.dir("config").join("fsx.toml");
    fs::write(&config, CONFIG).unwrap();
    let mut command = host.command(exerciser);
    command.arg("-f").arg(&config).arg("-P").arg(host.dir("artifacts"));
    command.args(["-N", &operations.to_string(), "-S", &seed.to_string()]).arg(mount.inside.join("file"));
    let outcome = run_limited(command, limit);
    let tail: Vec<&str> = outcome.text.lines().rev().take(40).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    assert!(outcome.code == 0, "fsx with seed {seed} ended with {}:\n{}", outcome.code, tail.join("\n"));
    assert!(fs::metadata(mount.at("file")).is_ok(), "there is no file: did it run?");
    eprintln!("fsx: {operations} operations, no difference");
}
