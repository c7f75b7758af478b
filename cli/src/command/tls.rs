//! `holdfast tls`: a private certificate authority in a directory.
//!
//! Keys are readable by their owner only. A file that exists is never written over: what is asked
//! for is made as a whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::date::{Date, day_of, now};
use crate::failure::{During, Failure, Result};
use crate::output::{Output, Report};
use crate::tls::{Authority, Identity, Validity, check_client_name};

const CA: &str = "ca";
const SERVER: &str = "server";

/// Where certificates are kept unless told otherwise.
pub const DIRECTORY: &str = "/etc/holdfast/tls";

/// `holdfast tls`
#[derive(Debug, Args)]
pub struct TlsArgs {
    #[command(subcommand)]
    command: TlsCommand,
}

#[derive(Debug, Subcommand)]
enum TlsCommand {
    /// Make a private certificate authority, a server certificate and a first client certificate
    Init(InitArgs),
    /// Make a server certificate of the authority: for another server, or to renew one
    Server(ServerArgs),
    /// Make a client certificate of the authority, for one host that may mount
    Client(ClientArgs),
}

#[derive(Debug, Args)]
struct InitArgs {
    #[command(flatten)]
    place: Place,
    /// Host names and addresses by which clients reach the server (repeat, or separate with commas)
    #[arg(long, required = true, value_delimiter = ',', num_args = 1.., value_name = "NAME")]
    server_name: Vec<String>,
    /// Name of the first client certificate
    #[arg(long, default_value = "client", value_name = "NAME")]
    client_name: String,
    /// Days that the authority counts
    #[arg(long, default_value_t = 3650, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=36500))]
    ca_days: u16,
}

#[derive(Debug, Args)]
struct ServerArgs {
    /// Name of the files: NAME.pem and NAME-key.pem
    name: String,
    #[command(flatten)]
    place: Place,
    /// Host names and addresses by which clients reach the server (repeat, or separate with commas)
    #[arg(long, required = true, value_delimiter = ',', num_args = 1.., value_name = "NAME")]
    server_name: Vec<String>,
}

#[derive(Debug, Args)]
struct ClientArgs {
    /// Name of the client, and of the files: NAME.pem and NAME-key.pem
    name: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// Directory of the authority's files
    #[arg(long, default_value = DIRECTORY, value_name = "DIR")]
    dir: PathBuf,
    /// Days that the certificates count
    #[arg(long, default_value_t = 1825, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=36500))]
    days: u16,
}

/// The files that were made.
#[derive(Debug, Serialize)]
struct Made {
    directory: PathBuf,
    files: Vec<MadeFile>,
    #[serde(skip)]
    next: Vec<String>,
}

#[derive(Debug, Serialize)]
struct MadeFile {
    path: PathBuf,
    what: String,
    secret: bool,
    expires: String,
}

/// Runs the command.
///
/// # Errors
/// Names that cannot be certified, an authority that cannot be read, files that exist already.
pub fn run(args: TlsArgs, output: &mut Output) -> Result<()> {
    let made = match args.command {
        TlsCommand::Init(args) => init(&args)?,
        TlsCommand::Server(args) => server(&args)?,
        TlsCommand::Client(args) => client(&args)?,
    };
    output.report(&made)
}

fn init(args: &InitArgs) -> Result<Made> {
    let place = &args.place;
    if [CA, SERVER].contains(&args.client_name.as_str()) {
        return Err(Failure::usage(format!("the client cannot be named {:?}; that file is taken", args.client_name)));
    }
    let (authority, ca) = Authority::create(validity(args.ca_days.max(place.days)))?;
    let server = authority.server(&args.server_name, validity(place.days))?;
    let client = authority.client(&args.client_name, validity(place.days))?;
    make_directory(&place.dir)?;
    let mut batch = Batch::default();
    let written = batch
        .add(place, CA, &ca, args.ca_days.max(place.days), "the private authority")
        .and_then(|()| {
            let what = format!("the server {}", args.server_name.join(", "));
            batch.add(place, SERVER, &server, place.days, &what)
        })
        .and_then(|()| {
            batch.add(place, &args.client_name, &client, place.days, &format!("the client {}", args.client_name))
        });
    let mut made = batch.finish(place, written)?;
    let path = |name: &str| place.dir.join(name).display().to_string();
    let client_name = &args.client_name;
    made.next = vec![
        format!(
            "server: holdfastd --tls-ca {} --tls-cert {} --tls-key {} ...",
            path("ca.pem"),
            path("server.pem"),
            path("server-key.pem")
        ),
        format!("each client host needs copies of ca.pem, {client_name}.pem and {client_name}-key.pem:"),
        format!(
            "  export HOLDFAST_TLS_CA={} HOLDFAST_TLS_CERT={} HOLDFAST_TLS_KEY={}",
            path("ca.pem"),
            path(&format!("{client_name}.pem")),
            path(&format!("{client_name}-key.pem"))
        ),
        format!("keep {} to yourself: who has it can make certificates", path("ca-key.pem")),
    ];
    Ok(made)
}

fn server(args: &ServerArgs) -> Result<Made> {
    check_client_name(&args.name)?;
    let identity = load(&args.place.dir)?.server(&args.server_name, validity(args.place.days))?;
    single(&args.place, &args.name, &identity, &format!("the server {}", args.server_name.join(", ")))
}

fn client(args: &ClientArgs) -> Result<Made> {
    let identity = load(&args.place.dir)?.client(&args.name, validity(args.place.days))?;
    single(&args.place, &args.name, &identity, &format!("the client {}", args.name))
}

fn single(place: &Place, name: &str, identity: &Identity, what: &str) -> Result<Made> {
    let mut batch = Batch::default();
    let written = batch.add(place, name, identity, place.days, what);
    batch.finish(place, written)
}

fn load(dir: &Path) -> Result<Authority> {
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path).map_err(|error| {
            Failure::new(format!("cannot read {}", path.display()))
                .because(&error)
                .hint("`holdfast tls init` makes an authority; --dir says where it is")
        })
    };
    Authority::load(&read("ca.pem")?, &read("ca-key.pem")?)
}

/// From yesterday, so that a clock that is a little behind does not refuse a new certificate.
fn validity(days: u16) -> Validity {
    let today = day_of(now());
    Validity { from: Date::from_days(today - 1), until: Date::from_days(today + i32::from(days)) }
}

fn make_directory(dir: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(dir);
    made.during(|| format!("make the directory {}", dir.display()))
}

/// Files being made; [`Batch::finish`] removes them again if one of them failed.
#[derive(Default)]
struct Batch {
    files: Vec<MadeFile>,
}

impl Batch {
    fn add(&mut self, place: &Place, name: &str, identity: &Identity, days: u16, what: &str) -> Result<()> {
        let expires = validity(days).until.to_string();
        let files =
            [(format!("{name}.pem"), &identity.certificate, false), (format!("{name}-key.pem"), &identity.key, true)];
        for (file, text, secret) in files {
            let path = place.dir.join(file);
            write_new(&path, text, secret)?;
            let of = if secret { "key of" } else { "certificate of" };
            self.files.push(MadeFile { path, what: format!("{of} {what}"), secret, expires: expires.clone() });
        }
        Ok(())
    }

    fn finish(self, place: &Place, written: Result<()>) -> Result<Made> {
        match written {
            Ok(()) => Ok(Made { directory: place.dir.clone(), files: self.files, next: Vec::new() }),
            Err(failure) => {
                for file in &self.files {
                    // The first failure is what counts; a file that stays is named by the next try.
                    let _left = fs::remove_file(&file.path);
                }
                Err(failure)
            }
        }
    }
}

fn write_new(path: &Path, text: &str, secret: bool) -> Result<()> {
    let mode = if secret { 0o600 } else { 0o644 };
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        let failure = Failure::new(format!("cannot make {}", path.display())).because(&error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                failure.hint("nothing was changed; certificates are never written over: move the file away, or choose another --dir or name")
            }
            _ => failure,
        }
    })
}

impl Report for Made {
    fn text(&self) -> String {
        let files = self
            .files
            .iter()
            .map(|file| format!("{}: {}, until {}\n", file.path.display(), file.what, file.expires))
            .collect::<String>();
        self.next.iter().fold(files, |text, line| text + line + "\n")
    }
}

#[cfg(test)]
mod tests;
