//! The executables of the heaps: which they are, and how they come to be there.
//!
//! Cargo builds the one example that it is asked for, so the other two may be missing, or left from an older state of the
//! sources. Then this asks Cargo for them, with the profile and in the target directory that this executable's place
//! tells: `<target>/<profile>/examples`.

use super::Kind;
use indicatif::ProgressBar;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The folder with the executables, all of them up to date.
pub(crate) struct Executables {
    folder: PathBuf,
}

impl Executables {
    /// Those of the build that this executable is part of.
    pub(crate) fn find() -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| format!("where is this executable? {error}"))?;
        let executables = Self { folder: this.parent().map(Path::to_path_buf).unwrap_or_default() };
        let time = |path: &Path| path.metadata().and_then(|metadata| metadata.modified());
        let mine = time(&this).map_err(|error| format!("{}: {error}", this.display()))?;
        let is_due = |kind: &Kind| time(&executables.path(*kind)).map_or(true, |its| its < mine);
        let due: Vec<Kind> = Kind::ALL.into_iter().filter(is_due).collect();
        if !due.is_empty() {
            executables.build(&due)?;
        }
        Ok(executables)
    }

    /// The start of a command that runs the program on the heap `kind`.
    pub(crate) fn command(&self, kind: Kind) -> Command {
        Command::new(self.path(kind))
    }

    fn path(&self, kind: Kind) -> PathBuf {
        self.folder.join(example(kind))
    }

    /// Has Cargo build the executables of `due`. A Cargo that runs this program holds no lock meanwhile.
    fn build(&self, due: &[Kind]) -> Result<(), String> {
        let names: Vec<String> = due.iter().copied().map(example).collect();
        let names = names.join(" and ");
        let (target, profile) = self
            .place()
            .ok_or_else(|| format!("{names}: not beside this executable, which is in no folder of Cargo's"))?;
        // `cargo run` and `cargo test` say which Cargo they are.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(&cargo);
        command.args(["build", "--quiet", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
        command.arg("--target-dir").arg(target);
        if profile != "debug" {
            command.arg("--profile").arg(profile);
        }
        for kind in due {
            command.args(["--example", &example(*kind)]);
        }

        // A sign of life, on a terminal only.
        let spinner = ProgressBar::new_spinner().with_message(format!("building {names}"));
        spinner.enable_steady_tick(Duration::from_millis(100));
        let done = command.stdin(Stdio::null()).output();
        spinner.finish_and_clear();
        let done = done.map_err(|error| format!("cannot build {names} with {}: {error}", cargo.display()))?;
        if !done.status.success() {
            let errors = String::from_utf8_lossy(&done.stderr);
            return Err(format!("cannot build {names}: {} ended with {}\n{errors}", cargo.display(), done.status));
        }
        match due.iter().map(|kind| self.path(*kind)).find(|path| !path.exists()) {
            Some(path) => Err(format!("{} built no {}", cargo.display(), path.display())),
            None => Ok(()),
        }
    }

    /// The target directory, and the name of the profile's folder in it.
    fn place(&self) -> Option<(&Path, &OsStr)> {
        let profile = self.folder.parent()?;
        let is_cargos = self.folder.file_name()? == "examples";
        is_cargos.then_some((profile.parent()?, profile.file_name()?))
    }
}

/// The name of the example, and of its executable.
fn example(kind: Kind) -> String {
    match kind {
        Kind::Default => "index".to_owned(),
        other => format!("index-{}", other.name()),
    }
}
