//! `seaworthy plan`.

use clap::ValueEnum;
use matrix::cell::Cell;
use matrix::matrix_file::KernelName;
use matrix::plan::{NEWEST, Plan};
use vm_images::store::{ImageStore, StoreError};

use super::image::StoreArgs;
use super::matrix::MatrixArgs;
use super::{Answer, Failure, InputContext};
use crate::provision::kernels::Kernels;
use crate::run::listing::listing;
use crate::terminal;

/// Show the cells of a matrix, and why others are not there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  seaworthy plan
  seaworthy plan --matrix here
  seaworthy plan --kernel bzImage --modules lib/modules/6.6.1
  seaworthy plan --only 'storage=overlay and not kernel=5.*'
  seaworthy plan --format json | jq -r '.cells[].id'

An EXPR is made of AXIS=GLOB[,GLOB…] or a glob over whole cell ids, with and, or, not and
parentheses. The axes are id, distro, release, kernel, arch, storage, cgroup and target.")]
pub(super) struct Args {
    #[command(flatten)]
    matrix: MatrixArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Text,
    /// One JSON document, `seaworthy.plan/1`
    Json,
}

pub(super) fn run(args: &Args) -> Result<Answer, Failure> {
    let store = args.store.open()?;
    let own = args.matrix.own_kernel(&store)?;
    let mut plan = args.matrix.plan(own.as_ref())?;
    settle(&mut plan, &store)?;
    let text = match args.format {
        Format::Text => listing(&plan),
        Format::Json => serde_json::to_string_pretty(&plan)? + "\n",
    };
    terminal::answer(&text)?;
    Ok(Answer::Yes)
}

/// Gives kernels called `newest` the series that a run would find, where the index that was
/// fetched last, or the cache, tells it. No network is asked.
fn settle(plan: &mut Plan, store: &ImageStore) -> Result<(), Failure> {
    let excluded = plan.excluded.iter().map(|excluded| &excluded.cell);
    let newest: Vec<Cell> = (plan.cells.iter().chain(excluded))
        .filter(|cell| cell.kernel == NEWEST)
        .cloned()
        .collect();
    for cell in newest {
        let found = match store.settle(&Kernels::wanted(&cell).or_bad_input()?) {
            Ok(found) => found,
            // Whether there is such a kernel shows when it is to be fetched.
            Err(StoreError::Unknown(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let system = cell.id.as_str().split('/').next().unwrap_or_default();
        if let Some(id) = found {
            let name = KernelName {
                distro: id.distro,
                release: id.release,
                kernel: id.series.to_string(),
            };
            plan.settle(system, cell.arch, &name).or_bad_input()?;
        }
    }
    Ok(())
}
