//! stub
/// Options.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where the edge listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    edge: std::net::SocketAddr,
    /// Where admin listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    admin: std::net::SocketAddr,
    /// Where
    #[arg(long, value_name = "DIR", default_value = ".portcullis/demo")]
    dir: std::path::PathBuf,
}
/// Run.
///
/// # Errors
/// none
pub fn run(_o: &Options, _print: fn(&str)) -> Result<(), String> {
    Ok(())
}
