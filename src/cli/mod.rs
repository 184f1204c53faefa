//! The command line: what is written after `portcullis`, and which part of the library it calls.
//!
//! Exit codes: 0 well, 1 problems (each said on stderr), 2 the command line itself is wrong.

mod api_key;
mod pki;
mod print;
mod token;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::demo;
use crate::gateway;

use print::{complain, print};

/// The commands, as clap reads them.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    about = "An API gateway that enforces mutual TLS on both of its sides",
    long_about = "An API gateway that enforces mutual TLS on both of its sides.\n\n\
        Clients prove who they are with a certificate, requests carry a token, each route says who \
        may pass, and the service behind it proves who it is before it gets a byte. One YAML file \
        says it all; the gateway watches it and takes up every change that is right.",
    after_help = "Begin with `portcullis demo`: it needs nothing and shows everything.",
    disable_help_subcommand = true,
    max_term_width = 100
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    ///
    /// Reads the configuration, opens the listeners and works until SIGTERM or Ctrl-C; then it
    /// finishes the requests under way and exits with 0. The file, and every file that it names, is
    /// watched: a change that is right is taken up without dropping a connection, one that is
    /// wrong is logged and leaves everything as it was. SIGHUP asks for it, too.
    #[command(after_help = "Examples:\n  \
        portcullis run\n  \
        portcullis run --config /etc/portcullis/gateway.yaml")]
    Run(ConfigFile),
    /// Say whether `run` would start, and if not, why
    ///
    /// Loads and compiles the configuration with every certificate, key and key set that it names,
    /// and runs its `tests`. Prints each problem with its line and column and what to do. Exit code
    /// 0: `run` would start with it; 1: it would not.
    #[command(after_help = "Examples:\n  \
        portcullis check\n  \
        portcullis check --config new.yaml && mv new.yaml gateway.yaml")]
    Check(ConfigFile),
    /// Show it: a gateway with services, clients and tokens, ready to be asked
    ///
    /// Makes a development PKI and signing keys, starts two services that require mTLS (one is an
    /// impostor), starts the gateway, and prints `curl` lines ready to paste: one that is let
    /// through, the others refused, each for another reason. Runs until Ctrl-C. `DIR/demo.json`
    /// says the same for scripts.
    #[command(after_help = "Examples:\n  \
        portcullis demo\n  \
        portcullis demo --dir /tmp/demo --edge 127.0.0.1:9000 --admin 127.0.0.1:9001")]
    Demo(demo::Options),
    /// Run a sample service that answers the gateway alone
    ///
    /// It requires mTLS, and answers with what arrived and who called: to see what the gateway tells
    /// its services. The compose file in `docker/` has two of them.
    #[command(after_help = "Examples:\n  \
        portcullis service --cert orders.pem --key orders.key --client-ca mesh-ca.pem \\\n    \
        --caller spiffe://mesh.example/ns/edge/sa/gateway --name orders")]
    Service(demo::SampleOptions),
    /// Make certificates for development, and read any
    ///
    /// Makes a CA, and with it certificates for servers, clients and services (which are both).
    /// Keys are ECDSA P-256 unless you say otherwise, are written with mode 0600, and are never
    /// replaced without --force.
    #[command(after_help = pki::EXAMPLES, subcommand)]
    Pki(pki::Command),
    /// Mint a signed JWT for development
    ///
    /// Prints the token alone, so that it can stand in a command. Make the key, and the key set by
    /// which the gateway verifies, with `portcullis token keys`.
    #[command(after_help = token::EXAMPLES)]
    Token(token::Token),
    /// Make API keys, and read the file of a list of them
    ///
    /// A key is found by its id and held against a hash: the file has no secret in it.
    #[command(after_help = api_key::EXAMPLES, subcommand)]
    ApiKey(api_key::Command),
}

#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration
    #[arg(long, short, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,
}

const PROBLEMS: u8 = 1;

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    match CommandLine::try_parse() {
        Ok(line) => run(line.command),
        Err(error) => {
            // Help and version go to stdout with 0, what is wrong to stderr with 2.
            let code = u8::try_from(error.exit_code()).unwrap_or(PROBLEMS);
            match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_nobody_reads) => ExitCode::from(PROBLEMS),
            }
        }
    }
}

fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Run(file) => gateway::run(&file.config),
        Command::Check(file) => check(&file.config),
        Command::Demo(options) => demo::run(&options, print).map_err(|error| error.to_string()),
        Command::Service(options) => {
            demo::run_sample(&options, print).map_err(|error| error.to_string())
        }
        Command::Pki(command) => pki::run(command).map_err(|error| error.to_string()),
        Command::ApiKey(command) => api_key::run(command),
        Command::Token(command) => token::run(command).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&problem);
            ExitCode::from(PROBLEMS)
        }
    }
}

fn check(file: &Path) -> Result<(), String> {
    let (checked, warnings) = gateway::check(file)?;
    for warning in warnings {
        print(&format!("warning: {warning}"));
    }
    let gateway::Checked {
        listeners,
        routes,
        upstreams,
        tests,
    } = checked;
    let file = file.display();
    print(&format!(
        "{file}: good. {listeners} listener(s), {routes} route(s), {upstreams} upstream(s); \
         {tests} test(s) passed"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed_and_every_argument_is_explained() {
        CommandLine::command().debug_assert();
        let mut waiting = vec![CommandLine::command()];
        while let Some(command) = waiting.pop() {
            let name = command.get_name().to_owned();
            assert!(command.get_about().is_some(), "{name}");
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let known = matches!(id, "help" | "version");
                assert!(known || argument.get_help().is_some(), "{name} {id}");
            }
            waiting.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn a_wrong_command_line_is_exit_code_2_and_help_is_0() {
        let cases = [
            ("", 2),
            ("runn", 2),
            ("run --confg x", 2),
            ("pki server --ca ca.pem", 2),
            ("pki client --ca ca.pem --spiffe http://x", 2),
            ("pki ca --lifetime 90", 2),
            ("token", 2),
            ("token --key k --iss i", 2),
            ("token --key k --iss i --aud a --alg HS256", 2),
            ("demo --edge 8443", 2),
            (
                "service --cert c --key k --client-ca ca --caller gateway",
                2,
            ),
            ("--help", 0),
            ("pki client --help", 0),
            ("token keys --help", 0),
            ("--version", 0),
        ];
        for (line, want) in cases {
            let words = std::iter::once("portcullis").chain(line.split_whitespace());
            let error = CommandLine::try_parse_from(words).unwrap_err();
            assert_eq!(error.exit_code(), want, "{line}: {error}");
        }
    }

    #[test]
    fn what_the_help_says_can_be_written_parses() {
        let mut lines = Vec::new();
        let mut waiting = vec![CommandLine::command()];
        while let Some(command) = waiting.pop() {
            let help = command.get_after_help().map(ToString::to_string);
            let text = help.unwrap_or_default().replace("\\\n", " ");
            lines.extend(text.lines().map(|line| line.trim().to_owned()));
            waiting.extend(command.get_subcommands().cloned());
        }
        lines.retain(|line| line.starts_with("portcullis "));
        assert!(lines.len() >= 8, "{lines:?}");
        for line in lines {
            let words: Vec<String> = line
                .split_whitespace()
                .take_while(|word| !matches!(*word, "&&" | ">" | "<" | "|"))
                .map(|word| word.trim_matches('"').to_owned())
                .collect();
            let parsed = CommandLine::try_parse_from(words);
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }
}
