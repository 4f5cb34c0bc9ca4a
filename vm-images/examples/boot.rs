//! Boots a kernel of the cache and runs a command in it:
//! `cargo run -p vm-images --example boot -- SEAWORTHY KERNEL [PROGRAM [ARGUMENT]…]`, where
//! SEAWORTHY is the program that is to be the guest's agent, and KERNEL an id as
//! `seaworthy image list` shows it (`debian-12/6.1/amd64`).

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use vm_images::agent::client::{Chunk, Command};
use vm_images::cache::Cache;
use vm_images::catalogue::Catalogue;
use vm_images::qemu::kvm;
use vm_images::store::ImageStore;
use vm_images::target::{Micro, MicroSpec, Target};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let agent = arguments.next().ok_or("which seaworthy?")?;
    let wanted = arguments.next().ok_or("which kernel?")?;
    let program = arguments.next().unwrap_or_else(|| "seaworthy".to_owned());
    let command = Command::new(program).args(arguments);

    let cache = Cache::default_root(|name| std::env::var_os(name));
    let store = ImageStore::open(&cache, Catalogue::built_in()?);
    let kernel = store
        .kernel(&wanted.parse()?)?
        .ok_or("the kernel is not in the cache: run `seaworthy image fetch`")?;

    let trial = kvm::Trial {
        kernel: kernel.clone(),
        agent_binary: PathBuf::from(&agent),
        cache,
    };
    let acceleration = kvm::choose(&trial).await;

    let log = std::env::temp_dir().join(format!("console-{}.log", std::process::id()));
    let mut spec = MicroSpec::new(kernel, PathBuf::from(agent), acceleration, log);
    spec.outfit.modules.push("overlay".to_owned());
    let machine = Micro::boot(spec).await?;
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "ready after {:?}, {}: {:#?}",
        machine.boot_time(),
        machine.acceleration(),
        machine.facts()
    )?;

    let mut running = machine.exec(command).await?;
    while let Some(chunk) = running.next().await? {
        match chunk {
            Chunk::Output(bytes) => std::io::stdout().write_all(&bytes)?,
            Chunk::Error(bytes) => stderr.write_all(&bytes)?,
        }
    }
    let exit = running.wait().await?;
    writeln!(stderr, "{}, {:?}", exit.status, exit.usage)?;
    machine.shut_down().await?;
    Ok(())
}
