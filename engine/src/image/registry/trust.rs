//! Whose certificates are trusted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::image::registry::{RegistryError, Settings};

/// Where OpenSSL, and what is configured for it, keep the certificates that the host trusts.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// TLS with the registry at `host`: the system's authorities, or those of `SSL_CERT_FILE`; and, as
/// Docker has it, of the folder `certs.d/HOST` every `*.crt` as an authority and a `*.cert` with
/// its `*.key` as the client's own certificate.
pub(super) fn tls(host: &str, settings: &Settings) -> Result<TlsConfig, RegistryError> {
    let mut roots = system(settings)?;
    let mut own = None;
    for path in files(&settings.certificates.join(host))? {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => roots.extend(certificates(&path)?),
            Some("cert") => own = Some(client(&path)?),
            _ => {}
        }
    }
    let builder = TlsConfig::builder().client_cert(own);
    Ok(if roots.is_empty() {
        builder.build() // Mozilla's, which are built in.
    } else {
        builder
            .root_certs(RootCerts::new_with_certs(&roots))
            .build()
    })
}

fn system(settings: &Settings) -> Result<Vec<Certificate<'static>>, RegistryError> {
    if let Some(path) = &settings.authorities {
        return certificates(path);
    }
    match BUNDLES.iter().map(Path::new).find(|path| path.exists()) {
        Some(path) => certificates(path),
        None => Ok(Vec::new()),
    }
}

/// The files of a folder in their order; none if there is no folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RegistryError::file("list", folder)(error)),
    };
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(RegistryError::file("list", folder))?;
    paths.sort();
    Ok(paths)
}

fn items(path: &Path) -> Result<Vec<PemItem<'static>>, RegistryError> {
    let text = fs::read(path).map_err(RegistryError::file("read", path))?;
    // What is neither a certificate nor a key is of no concern.
    Ok(parse_pem(&text).filter_map(Result::ok).collect())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let found: Vec<_> = items(path)?
        .into_iter()
        .filter_map(|item| {
            if let PemItem::Certificate(certificate) = item {
                Some(certificate)
            } else {
                None
            }
        })
        .collect();
    if found.is_empty() {
        return Err(nothing(path, "it has no certificate in PEM form"));
    }
    Ok(found)
}

fn client(path: &Path) -> Result<ClientCert, RegistryError> {
    let key_path = path.with_extension("key");
    let key: Option<PrivateKey<'static>> = items(&key_path)?.into_iter().find_map(|item| {
        if let PemItem::PrivateKey(key) = item {
            Some(key)
        } else {
            None
        }
    });
    let key = key.ok_or_else(|| nothing(&key_path, "it has no private key in PEM form"))?;
    Ok(ClientCert::new_with_certs(&certificates(path)?, key))
}

fn nothing(path: &Path, why: &'static str) -> RegistryError {
    RegistryError::file("use", path)(io::Error::new(io::ErrorKind::InvalidData, why))
}
