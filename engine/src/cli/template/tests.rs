use proptest::prelude::*;
use serde_json::json;

use super::*;

fn render(template: &str) -> Result<String, TemplateError> {
    let document = json!({
        "Id": "ab", "Name": "/web-1", "None": null, "Count": 3, "Empty": [],
        "State": {"Pid": 7, "Running": true, "Tags": ["a", "b"]},
        "Labels": {"a.b": "c", "tier": "front"},
        "Mounts": [{"Source": "/x", "RW": true}, {"Source": "/y", "RW": false}],
    });
    template.parse::<Template>()?.render_lines(&[document])
}

#[track_caller]
fn gives(template: &str, wanted: &str) {
    assert_eq!(
        render(template).unwrap(),
        format!("{wanted}\n"),
        "{template}"
    );
}

#[test]
fn fields_are_filled_in_as_go_prints_them() {
    gives("{{.Id}}: {{ .State.Pid }}", "ab: 7");
    gives("{{.State.Tags}}\\t{{.None}}", "[a b]\t<nil>");
    gives("{{json .State.Tags}}", "[\"a\",\"b\"]");
    gives("{{.Labels}}", "map[a.b:c tier:front]");
    gives("{{.Labels.tier}} {{.Labels.absent}}", "front <no value>");
    gives("a {{- \"b\" -}}  c", "abc");
    gives("x{{/* a remark */}}y", "xy");
}

#[test]
fn functions_are_those_of_go_and_docker() {
    gives("{{join .State.Tags \", \"}}", "a, b");
    gives(
        "{{upper .Id}} {{lower \"AB\"}} {{title \"web\"}}",
        "AB ab Web",
    );
    gives("{{index .Labels \"a.b\"}}{{index .Labels \"no\"}}", "c");
    gives(
        "{{index .Mounts 1 \"Source\"}} {{(index .Mounts 0).Source}}",
        "/y /x",
    );
    gives("{{len .State.Tags}} {{split .Name \"-\"}}", "2 [/web 1]");
    gives("{{println .Id 1}}", "ab 1\n");
    gives("{{print 1 2 .Id}} {{truncate .Name 4}}", "1 2ab /web");
    gives("{{.Id | upper | json}}", "\"AB\"");
    gives("{{.State.Tags | json}}", "[\"a\",\"b\"]");
}

#[test]
fn conditions_and_ranges_nest() {
    gives("{{if .State.Running}}up{{else}}down{{end}}", "up");
    gives("{{if .None}}a{{else if eq .Count 3}}b{{else}}c{{end}}", "b");
    gives("{{if and .Id (gt .Count 2)}}both{{end}}", "both");
    gives("{{if or .None (ne .Id \"x\")}}either{{end}}", "either");
    gives("{{if not .Empty}}none{{end}}", "none");
    gives(
        "{{range .Mounts}}{{.Source}}{{if .RW}}!{{end}} {{end}}",
        "/x! /y ",
    );
    gives(
        "{{range $i, $m := .Mounts}}{{$i}}={{$m.Source}}@{{$.Id}} {{end}}",
        "0=/x@ab 1=/y@ab ",
    );
    gives(
        "{{range $k, $v := .Labels}}{{$k}}:{{$v}};{{end}}",
        "a.b:c;tier:front;",
    );
    gives("{{range .Empty}}x{{else}}nothing{{end}}", "nothing");
    gives(
        "{{with .State}}{{.Pid}}{{end}}{{with .None}}x{{else}}y{{end}}",
        "7y",
    );
    gives("{{$x := .Count}}{{$x}}", "3");
}

#[test]
fn a_table_has_headings_and_columns() {
    let template: Template = "table {{.ID}}\\t{{.CreatedAt}}".parse().unwrap();
    let rows = [
        json!({"ID": "abcdefghijklmno", "CreatedAt": "now"}),
        json!({"ID": "b", "CreatedAt": "then"}),
    ];
    let titles = [("CONTAINER ID", "ID")];
    insta::assert_snapshot!(template.render_rows(&titles, &rows).unwrap(), @r"
    CONTAINER ID      CREATED AT
    abcdefghijklmno   now
    b                 then
    ");
}

#[test]
fn what_is_not_understood_is_refused() {
    for template in [
        "{{.Id",
        "{{}}",
        "{{.A..B}}",
        "{{template \"x\"}}",
        "{{printf \"%d\" 1}}",
        "{{.Id .Id}}",
        "{{\"open}}",
        "{{(.Id}}",
        "{{.Id | .Name}}",
        "{{else if}}",
    ] {
        assert!(render(template).is_err(), "{template}");
    }
    let unbalanced = [
        "{{if .Id}}x",
        "{{end}}",
        "{{if .Id}}{{else}}{{else}}{{end}}",
    ];
    for template in unbalanced {
        assert!(
            matches!(render(template), Err(TemplateError::Unbalanced(_))),
            "{template}"
        );
    }
    assert!(matches!(
        render("{{.Nope}}"),
        Err(TemplateError::NoField { .. })
    ));
    assert!(matches!(
        render("{{$x}}"),
        Err(TemplateError::NoField { .. })
    ));
    assert!(matches!(
        render("{{upper .Count}}"),
        Err(TemplateError::Argument { .. })
    ));
    assert!(matches!(
        render("{{range .Id}}{{end}}"),
        Err(TemplateError::Argument { .. })
    ));
}

proptest! {
    #[test]
    fn no_template_makes_it_panic(text in "[{}.a-zA-Z$|\"()\\\\ :=-]*") {
        drop(render(&text));
        drop(render(&format!("{{{{{text}}}}}")));
    }
}
