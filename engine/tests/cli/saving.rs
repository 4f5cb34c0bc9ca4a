//! `save`, and `load` of what it wrote.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use nix::pty::openpty;

use super::Keel;
use super::keel::IMAGE;

#[test]
fn an_image_goes_from_one_root_to_another_through_a_pipe() {
    let (here, there) = (Keel::new(), Keel::on("vfs"));
    let name = "localhost/copy:1";
    let archive = here.host_folder().join("image.tar");
    here.call(["save", "-o", archive.to_str().unwrap(), IMAGE])
        .success();
    there.call(["rmi", IMAGE]).success();

    let mut save = here
        .command(["save", IMAGE])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let load = there
        .command(["load", "--tag", name])
        .stdin(save.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(load.status.success(), "{load:?}");
    assert!(save.wait().unwrap().success());

    let id = |keel: &Keel, name| keel.call(["images", "-q", "--no-trunc", name]).success();
    assert_eq!(id(&there, "localhost/copy"), id(&here, IMAGE));
    let said = there.call(["run", "--rm", name, "echo", "hello"]).success();
    assert_eq!(said, "hello\n");
    // A file and a pipe get the same bytes, from either root.
    let other = there.host_folder().join("image.tar");
    there
        .call(["save", "-o", other.to_str().unwrap(), IMAGE])
        .success();
    assert!(fs::read(archive).unwrap() == fs::read(other).unwrap());
}

#[test]
fn an_archive_is_not_written_to_a_terminal() {
    let keel = Keel::new();
    let pty = openpty(None, None).unwrap();
    let slave: OwnedFd = pty.slave;
    let output = keel
        .command(["save", IMAGE])
        .stdout(Stdio::from(slave))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    insta::assert_snapshot!(said, @"keel: an archive is not written to a terminal: redirect it, or name a file");
}

#[test]
fn a_file_is_left_as_it_was_when_saving_fails() {
    let keel = Keel::new();
    let file = keel.host_folder().join("image.tar");
    fs::write(&file, "of before").unwrap();
    let said = keel
        .call(["save", "-o", file.to_str().unwrap(), "no-such-image"])
        .failure(1);
    assert!(
        said.contains("no image is called `no-such-image`"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "of before");
    assert_eq!(fs::read_dir(keel.host_folder()).unwrap().count(), 1);
}
