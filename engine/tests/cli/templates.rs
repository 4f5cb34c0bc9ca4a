//! `--format`, of every verb that has it.

use super::Keel;

#[test]
fn templates_are_those_that_dockers_users_type() {
    let keel = Keel::new();
    keel.start_idle(
        "web",
        &["-e", "A=b", "--label", "tier=front", "-v", "/usr:/host"],
    );
    let inspect = |format: &str| {
        let said = keel.call(["inspect", "-f", format, "web"]).success();
        said.trim_end().to_owned()
    };
    assert_eq!(
        inspect("{{range .Mounts}}{{.Source}}:{{.Destination}}{{end}}"),
        "/usr:/host"
    );
    assert_eq!(inspect("{{index .Config.Labels \"tier\"}}"), "front");
    assert_eq!(inspect("{{if .State.Running}}up{{else}}down{{end}}"), "up");
    assert_eq!(inspect("{{.State.Status | upper | json}}"), "\"RUNNING\"");
    assert_eq!(
        inspect("{{join .Config.Entrypoint \" \"}}{{index .Config.Cmd 0}}"),
        "sh"
    );
    let table = keel
        .call([
            "ps",
            "--format",
            "table {{.Names}}\\t{{.Image}}\\t{{.RunningFor}}",
        ])
        .success();
    assert!(
        table.starts_with("NAMES   IMAGE   CREATED\nweb     small   "),
        "{table}"
    );
    let images = keel
        .call(["images", "--format", "table {{.ID}}\\t{{.Repository}}"])
        .success();
    assert!(images.starts_with("IMAGE ID "), "{images}");
    let info = keel.call(["info", "-f", "{{.Driver}} {{len .SecurityOptions}}"]);
    assert_eq!(info.success(), "overlay 2\n");
    let version = keel
        .call(["version", "--format", "{{.Client.Version}}"])
        .success();
    assert_eq!(version.trim_end(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn what_go_can_do_and_keel_cannot_is_refused_with_what_it_can() {
    let keel = Keel::new();
    let refusal = keel
        .call(["ps", "--format", "{{printf \"%s\" .ID}}"])
        .failure(1);
    assert!(refusal.contains("range, if, else, with"), "{refusal}");
    let refusal = keel.call(["info", "-f", "{{if .Driver}}x"]).failure(125);
    assert!(refusal.contains("{{end}}"), "{refusal}");
}
