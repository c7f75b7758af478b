//! `create`, `run` and `delete`: volumes come before the delegate is called and go after it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_plugin::agent::{Acquire, CommandMounter, RefId, Registry, Release, RunDir, Timeouts};

use crate::args::{Creation, Invocation};
use crate::delegate::Delegate;
use crate::log::{Level, chain, tell};
use crate::settings::Settings;
use crate::spec::{HOOK_VERB, Hook, Plan, Source, Wanted};
use crate::{config, supervise};

/// How long the release after the end of a container may take, in seconds.
const HOOK_TIMEOUT_SECS: u32 = 90;

/// One call of the runtime.
pub(crate) struct Handover<'a> {
    pub(crate) call: &'a Invocation,
    /// All words after the program's name.
    pub(crate) words: &'a [OsString],
    pub(crate) delegate: Delegate,
    pub(crate) settings: &'a Settings,
}

/// Whether and when a call of the delegate leaves a container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// `create`, `run --detach`: when it succeeds.
    Container,
    /// `run`: only when it was told to keep it.
    Nothing,
}

impl Handover<'_> {
    /// `create` and `run`.
    pub(crate) fn create(self, creation: &Creation, leaves: Leaves) -> Result<ExitCode> {
        let Some(id) = &creation.id else {
            return Err(self.delegate.exec(self.words));
        };
        let path = creation.config_path();
        let server = self.settings.get("HOLDFAST_SERVER");
        let server = server.map(|server| server.to_string_lossy().into_owned());
        let plan = Plan::read(config::read(&path)?, server.as_deref())?;
        if plan.wanted().is_empty() {
            return Err(self.delegate.exec(self.words));
        }
        let reference = self.reference(id)?;
        let witness = self.root()?.join(id);
        let registry = self.registry()?;

        let mut held = Held { registry: &registry, reference: &reference, all_new: true };
        let prepared = self.prepare(plan, &path, &mut held, &witness);
        if let Err(error) = prepared {
            self.let_go(&held);
            return Err(error);
        }
        let status = supervise::run(&mut self.delegate.command(self.words)).map_err(|error| {
            self.let_go(&held);
            self.cannot_run(error)
        })?;
        let kept = match leaves {
            Leaves::Container => status.success() || self.delegate.knows(self.call.root.as_deref(), id),
            Leaves::Nothing => witness.exists() && self.delegate.knows(self.call.root.as_deref(), id),
        };
        if !kept {
            self.let_go(&held);
        }
        Ok(supervise::exit_code(status))
    }

    /// Acquires every volume, and writes the specification that uses them.
    fn prepare(&self, plan: Plan, path: &Path, held: &mut Held<'_>, witness: &Path) -> Result<()> {
        let mut sources = Vec::with_capacity(plan.wanted().len());
        for wanted in plan.wanted() {
            sources.push(held.acquire(wanted, witness)?);
        }
        let hook = self.hook(held.reference)?;
        config::write(path, &plan.apply(&sources, Some(&hook)))
    }

    /// Releases what this call acquired, unless another container of that name had it before.
    fn let_go(&self, held: &Held<'_>) {
        if held.all_new {
            self.release(held.registry, held.reference);
        }
    }

    /// `delete`
    pub(crate) fn delete(self, id: Option<&OsStr>, regex: bool) -> Result<ExitCode> {
        let run_dir = self.run_dir();
        let reference = id.map(|id| self.reference(id)).transpose();
        let (Some(id), Ok(Some(reference)), true) = (id, reference, run_dir.exists()) else {
            return Err(self.delegate.exec(self.words));
        };
        // A container can be deleted whatever is wrong with our side.
        let registry =
            match self.registry().and_then(|registry| registry.holds(&reference).map(|holds| (registry, holds))) {
                Ok((_, false)) if !regex => return Err(self.delegate.exec(self.words)),
                Ok((registry, _)) => registry,
                Err(error) => {
                    let status = self.run_delegate()?;
                    tell(self.call, Level::Warning, &format!("volumes were not released: {}", chain(&error)));
                    return Ok(supervise::exit_code(status));
                }
            };
        let status = self.run_delegate()?;
        if regex {
            if let Err(error) = registry.sweep() {
                tell(self.call, Level::Warning, &format!("cannot release every volume: {}", chain(&error)));
            }
        } else if status.success() || !self.delegate.knows(self.call.root.as_deref(), id) {
            self.release(&registry, &reference);
        }
        Ok(supervise::exit_code(status))
    }

    /// Waits for the delegate, signals passed on.
    fn run_delegate(&self) -> Result<ExitStatus> {
        supervise::run(&mut self.delegate.command(self.words)).map_err(|error| self.cannot_run(error))
    }

    fn cannot_run(&self, error: std::io::Error) -> Error {
        let message = format!("cannot run {}", self.delegate.program().display());
        Error::new(ErrorKind::Internal, message).because(error)
    }

    /// The container is gone whatever happens here, so a failure is told and not returned.
    fn release(&self, registry: &Registry<CommandMounter>, reference: &RefId) {
        if let Err(error) = registry.release(&Release { reference: reference.clone() }) {
            tell(self.call, Level::Warning, &format!("a volume stays mounted: {}", chain(&error)));
        }
    }

    fn run_dir(&self) -> PathBuf {
        RunDir::choose(|name| self.settings.path(name))
    }

    fn registry(&self) -> Result<Registry<CommandMounter>> {
        registry(&self.run_dir(), self.settings)
    }

    /// Where the delegate keeps its containers' state.
    fn root(&self) -> Result<PathBuf> {
        let root = match &self.call.root {
            Some(root) => root.clone(),
            None => self.delegate.default_root(|name| self.settings.get(name)),
        };
        std::path::absolute(&root).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("the root directory {} is no path", root.display())).because(error)
        })
    }

    /// The container as the registry knows it. Names are unique below one root only.
    fn reference(&self, id: &OsStr) -> Result<RefId> {
        let root = self.root()?;
        let text = match (root.to_str(), id.to_str()) {
            (Some(root), Some(id)) if !id.is_empty() && !id.contains('/') => Some(format!("oci:{root}:{id}")),
            _ => None,
        };
        text.and_then(|text| text.parse().ok()).ok_or_else(|| {
            let id = id.to_string_lossy().chars().take(80).collect::<String>();
            Error::new(ErrorKind::Invalid, format!("{id:?} is no name for a container with volumes"))
        })
    }

    fn hook(&self, reference: &RefId) -> Result<Hook> {
        let path = std::env::current_exe()
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot find our own program").because(error))?;
        let run_dir = self.run_dir();
        let mut environment = vec![format!("{}={}", holdfast_plugin::agent::RUN_DIR_VARIABLE, run_dir.display())];
        for name in ["PATH", "HOLDFAST_BIN"] {
            let value = self.settings.get(name).and_then(|value| value.into_string().ok());
            environment.extend(value.map(|value| format!("{name}={value}")));
        }
        let arguments = vec!["holdfast-runtime".into(), HOOK_VERB.into(), reference.to_string()];
        Ok(Hook { path, arguments, environment, timeout_secs: HOOK_TIMEOUT_SECS })
    }
}

/// What one call has acquired.
struct Held<'a> {
    registry: &'a Registry<CommandMounter>,
    reference: &'a RefId,
    /// Nothing of it was held before the call.
    all_new: bool,
}

impl Held<'_> {
    fn acquire(&mut self, wanted: &Wanted, witness: &Path) -> Result<Source> {
        let acquired = self.registry.acquire(&Acquire {
            volume: wanted.volume.clone(),
            subdir: wanted.subdir.clone(),
            read_only: wanted.read_only,
            reference: self.reference.clone(),
            witness: Some(witness.to_owned()),
        })?;
        self.all_new &= acquired.created;
        match acquired.path.into_os_string().into_string() {
            Ok(path) => Ok(Source { path, nosuid: acquired.nosuid, nodev: acquired.nodev }),
            Err(path) => {
                let message = format!("the run directory has a path that is no text: {}", path.display());
                Err(Error::new(ErrorKind::Invalid, message))
            }
        }
    }
}

/// The registry over a run directory.
pub(crate) fn registry(run_dir: &Path, settings: &Settings) -> Result<Registry<CommandMounter>> {
    let mounter = CommandMounter::find(|name| settings.get(name))?.with_environment(settings.for_programs());
    Ok(Registry::new(RunDir::open(run_dir)?, mounter, Timeouts::default()))
}
