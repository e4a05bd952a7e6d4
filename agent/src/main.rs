//! The agent's binary: all of it is in the library.

fn main() -> std::process::ExitCode {
    twarga_agent::cli::main()
}
