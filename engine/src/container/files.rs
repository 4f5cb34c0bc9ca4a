//! `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf` of a container.

use std::fs;
use std::io;
use std::path::Path;

use super::Error;
use super::options::Network;

const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                     fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\n\
                     ff02::2\tip6-allrouters\n";

/// Writes the three into the container's folder, from where they are mounted: the image's own
/// stay untouched and out of `keel diff`, and the container may write to its.
pub(super) fn write(folder: &Path, hostname: &str, network: Network) -> Result<(), Error> {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(Error::io("write", path))
    };
    put("hostname", &format!("{hostname}\n"))?;
    match network {
        Network::None => {
            put("hosts", HOSTS)?;
            put("resolv.conf", &host_resolv_conf()?)
        }
    }
}

/// The host's, as Docker does also for containers that reach nobody. Having none is fine.
fn host_resolv_conf() -> Result<String, Error> {
    const PATH: &str = "/etc/resolv.conf";
    match fs::read_to_string(PATH) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::io("read", PATH)(error)),
    }
}
