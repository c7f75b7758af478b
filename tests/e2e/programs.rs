//! Programs that run from a volume: nobody on their host writes or empties them meanwhile (`ETXTBSY`).

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::process::{Child, Command};

use holdfast_tests::random::size;
use holdfast_tests::wait;

use crate::Pair;

/// A child that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is what the test finds out.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_program_that_runs_is_neither_written_nor_emptied() {
    let pair = Pair::new("running program");
    let image = fs::read("/bin/sleep").unwrap();
    for round in 0..size("HOLDFAST_PROGRAMS", 30, 1000) {
        let path = pair.a.at(&format!("sleep-{round}"));
        fs::write(&path, &image).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut program = Running(Command::new(&path).arg("600").spawn().unwrap());
        let emptied = OpenOptions::new().read(true).custom_flags(libc::O_TRUNC).open(&path);
        let written = [
            OpenOptions::new().write(true).open(&path),
            OpenOptions::new().read(true).write(true).open(&path),
            OpenOptions::new().write(true).truncate(true).open(&path),
            emptied,
        ];
        for opened in written {
            assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::ETXTBSY));
        }
        assert_eq!(fs::read(pair.b.at(&format!("sleep-{round}"))).unwrap(), image);
        assert!(program.0.try_wait().unwrap().is_none(), "it ended");
        drop(program);
        // The handle of an ended program goes shortly after it.
        wait::until_true("the file to be free again", wait::SOON, || {
            OpenOptions::new().read(true).custom_flags(libc::O_TRUNC).open(&path).is_ok()
        });
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        fs::remove_file(&path).unwrap();
    }
}
