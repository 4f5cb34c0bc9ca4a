//! Files to and from a machine, each with its digest.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::{Connection, Event, unexpected};
use crate::agent::error::AgentError;
use crate::agent::frame::MAX_DATA;
use crate::agent::hex;
use crate::agent::message::{Reply, Request};

fn local<'a>(
    operation: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> AgentError + 'a {
    move |source| AgentError::Local {
        operation,
        path: path.to_owned(),
        source,
    }
}

pub(super) async fn put(
    connection: &Arc<Connection>,
    from: &Path,
    to: &str,
    mode: u32,
) -> Result<(), AgentError> {
    let mut file = File::open(from).await.map_err(local("open", from))?;
    let mut stream = connection.open(&Request::Put {
        path: to.to_owned(),
        mode,
    })?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; MAX_DATA];
    loop {
        let count = file.read(&mut buffer).await.map_err(local("read", from))?;
        let bytes = buffer.get(..count).unwrap_or_default();
        digest.update(bytes);
        let size = u32::try_from(count).unwrap_or(u32::MAX);
        match stream.credit().acquire_many(size).await {
            Ok(permit) => permit.forget(),
            // The server takes no more: its answer says why.
            Err(_) => break,
        }
        stream.connection().send_input(stream.id(), bytes);
        if count == 0 {
            break;
        }
    }
    stream.request(&Request::Commit {
        sha256: hex(&digest.finalize()),
    })?;
    stream.done().await
}

pub(super) async fn get(
    connection: &Arc<Connection>,
    from: &str,
    to: &Path,
) -> Result<(), AgentError> {
    let mut stream = connection.open(&Request::Get {
        path: from.to_owned(),
    })?;
    let reply = stream.reply().await?;
    let Reply::File { mode, .. } = reply else {
        return Err(unexpected(&reply));
    };
    let folder = match to.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) | None => Path::new("."),
    };
    let part = tempfile::NamedTempFile::new_in(folder).map_err(local("write into", folder))?;
    let handle = part.as_file().try_clone().map_err(local("write", to))?;
    let mut file = File::from_std(handle);
    let mut digest = Sha256::new();
    let expected = loop {
        match stream.event().await? {
            Event::Data(_, bytes) => {
                digest.update(&bytes);
                file.write_all(&bytes).await.map_err(local("write", to))?;
            }
            Event::Reply(Reply::Digest { sha256 }) => break sha256,
            Event::Reply(other) => return Err(unexpected(&other)),
        }
    };
    file.flush().await.map_err(local("write", to))?;
    let found = hex(&digest.finalize());
    if found != expected {
        return Err(AgentError::Damaged {
            path: from.to_owned(),
            expected,
            found,
        });
    }
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode & 0o777);
    file.set_permissions(permissions)
        .await
        .map_err(local("set the mode of", to))?;
    part.persist(to)
        .map_err(|error| local("write", to)(error.error))?;
    Ok(())
}
