//! Images: their names, their history, and what is told of them.

use insta::assert_snapshot;
use serde_json::Value;

use super::Keel;
use super::keel::{IMAGE, archive_of_layers};

/// The id of the image `small`.
fn id(keel: &Keel) -> String {
    let args = ["images", "-q", "--no-trunc", IMAGE];
    keel.call(args).success().trim_end().to_owned()
}

/// With an image `high` of two layers and no history, as `small` is.
fn with_layers() -> Keel {
    let keel = Keel::on("vfs");
    let archive = keel.host_folder().join("high.tar");
    std::fs::write(&archive, archive_of_layers(1)).unwrap();
    keel.call(["load", "-i", archive.to_str().unwrap()])
        .success();
    keel
}

#[test]
fn a_tag_is_a_further_name_and_taken_from_whoever_had_it() {
    let keel = with_layers();
    keel.call(["tag", IMAGE, "registry.example:5000/team/it:1"])
        .success();
    let format = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
    assert_snapshot!(keel.call(format).success(), @r"
    high:latest
    small:latest
    registry.example:5000/team/it:1
    ");
    keel.call(["tag", "high", "registry.example:5000/team/it:1"])
        .success();
    let id = |name: &str| {
        let args = ["image", "inspect", "-f", "{{.Id}}", name];
        keel.call(args).success()
    };
    assert_eq!(id("high"), id("registry.example:5000/team/it:1"));
    assert_ne!(id("high"), id(IMAGE));
}

#[test]
fn names_that_cannot_be_given_are_refused() {
    let keel = Keel::on("vfs");
    keel.call(["tag", "nobody", "x"]).failure(1);
    keel.call(["tag", IMAGE, "Upper/Case"]).failure(125);
    let digest = format!("x@{}", id(&keel));
    assert!(
        keel.call(["tag", IMAGE, &digest])
            .failure(1)
            .contains("digest")
    );
}

#[test]
fn a_history_has_the_newest_step_first_with_its_size() {
    let keel = with_layers();
    let id = id(&keel);
    let told = |flags: &[&str]| {
        let args = [&["history"], flags, &[IMAGE]].concat();
        keel.call(args).success()
    };
    let table = told(&[]);
    let mut lines = table.lines();
    let heading: Vec<&str> = lines.next().unwrap().split("   ").map(str::trim).collect();
    assert!(
        heading.iter().filter(|cell| !cell.is_empty()).eq(&[
            "IMAGE",
            "CREATED",
            "CREATED BY",
            "SIZE",
            "COMMENT"
        ]),
        "{table}"
    );
    assert!(lines.next().unwrap().contains("keel import"), "{table}");
    assert_eq!(told(&["-q", "--no-trunc"]), format!("{id}\n"));
    let bytes = told(&["-H=false", "--format", "{{.Size}}"]);
    assert!(
        bytes.trim_end().parse::<u64>().unwrap() > 500_000,
        "{bytes}"
    );
    let steps = keel
        .call([
            "history",
            "--format",
            "{{.ID}} {{.CreatedSince}} {{.Size}}",
            "high",
        ])
        .success();
    let steps: Vec<&str> = steps.lines().collect();
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert!(steps[0].ends_with(" N/A 0B"), "{steps:?}");
    assert!(steps[1].starts_with("<missing> N/A "), "{steps:?}");
}

#[test]
fn an_image_is_inspected_under_dockers_names() {
    let keel = Keel::on("vfs");
    let id = id(&keel);
    let inspect = |args: &[&str]| {
        let text = keel.call([&["inspect"], args].concat()).success();
        serde_json::from_str::<Value>(&text).unwrap()[0].clone()
    };
    let document = inspect(&[IMAGE]);
    assert_eq!(document["Id"], id.as_str());
    assert_eq!(document["RepoTags"][0], "small:latest");
    assert_eq!(document["Os"], "linux");
    assert_eq!(document["Config"]["Env"], Value::Null);
    assert_eq!(document["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    assert_eq!(inspect(&["--type", "image", &id[7..19]]), document);
    // A container hides an image of the same name, unless told otherwise.
    keel.call(["create", "--name", IMAGE, IMAGE, "true"])
        .success();
    assert_eq!(inspect(&[IMAGE])["Name"], "/small");
    assert_eq!(inspect(&["--type=image", IMAGE]), document);
    let nobody = keel.call(["inspect", "nobody"]).failure(1);
    assert_snapshot!(nobody, @"keel: no container and no image is called `nobody`; `keel ps -a` and `keel images` list them all");
}

#[test]
fn pruning_takes_the_nameless_or_all_and_never_what_a_container_needs() {
    let keel = with_layers();
    let ids = || keel.call(["image", "ls", "-q"]).success().lines().count();
    keel.call(["tag", IMAGE, "high"]).success();
    assert_eq!(ids(), 2);
    keel.call(["image", "prune", "-f", "--filter", "label=nothing"])
        .success();
    assert_eq!(ids(), 2);
    let told = keel.call(["image", "prune", "-f"]).success();
    assert!(
        told.starts_with("Deleted Images:\ndeleted: sha256:"),
        "{told}"
    );
    assert_eq!(ids(), 1);
    keel.call(["create", "--name", "job", IMAGE, "true"])
        .success();
    assert_snapshot!(keel.call(["image", "prune", "-af"]).success(), @"Total reclaimed space: 0B");
    keel.call(["rm", "job"]).success();
    let told = keel.call(["image", "prune", "-af"]).success();
    assert!(told.contains("untagged: small:latest\n"), "{told}");
    assert_eq!(ids(), 0);
}
