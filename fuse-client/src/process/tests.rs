#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
use super::*;

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e47364bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn containers_are_found_by_their_cgroup() {
    for path in [
        format!("/docker/{ID}"),
        format!("/system.slice/docker-{ID}.scope"),
        format!("/kubepods/besteffort/pod6f9c1c2a-3e0c-4d5e/{ID}"),
        format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-{ID}.scope"),
        format!("/kubepods.slice/kubepods-pod2.slice/crio-{ID}.scope/container"),
        format!("/machine.slice/libpod-{ID}.scope/container"),
        format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
        format!("/system.slice/kubepods-pod3.slice:cri-containerd:{ID}"),
        format!("/k8s.io/{ID}"),
    ] {
        assert_eq!(container_of(&format!("0::{path}\n")).as_deref(), Some(ID), "{path}");
        let old = format!("12:pids:/\n11:memory:{path}\n1:name=systemd:{path}\n0::/\n");
        assert_eq!(container_of(&old).as_deref(), Some(ID), "{path}");
    }
    assert_eq!(container_of("0::/holdfast/web-1\n").as_deref(), Some("web-1"));
    for none in ["", "0::/\n", "0::/user.slice/user-0.slice/session-3.scope\n", "0::/system.slice/docker.service\n"] {
        assert_eq!(container_of(none), None, "{none}");
    }
}

#[test]
fn this_process_is_there_and_one_that_ended_is_not() {
    let own = std::process::id();
    let myself = describe(own, Duration::ZERO);
    let comm = fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!((myself.pid, myself.gone, myself.name.as_str()), (own, false, comm.trim_end()));
    let older = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap());
    assert!(describe(own, older).gone, "who was there at boot was another process");
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    assert!(describe(pid, Duration::ZERO).gone);
    assert!(!is_exiting(own));
}

#[test]
fn a_thread_leads_to_its_process() {
    let thread = std::thread::spawn(|| u32::try_from(nix::unistd::gettid().as_raw()).unwrap());
    let (own, thread) = (std::process::id(), thread.join().unwrap());
    assert_ne!(own, thread);
    let asked = std::thread::spawn(|| of_thread(u32::try_from(nix::unistd::gettid().as_raw()).unwrap()));
    assert_eq!(asked.join().unwrap(), own);
    assert_eq!(of_thread(0), 0);
}

#[test]
fn a_process_with_a_strange_name_is_read() {
    let text = "7 (a) b) S 1 7 7 0 -1 4194308 1 2 3 4 5 6 7 8 20 0 1 0 12345 9 9\n";
    let stat = Stat::parse(text).unwrap();
    assert_eq!((stat.state, stat.flags & EXITING, stat.started), (b'S', EXITING, 12_345));
    assert!(Stat::parse("7 (a").is_none());
}
