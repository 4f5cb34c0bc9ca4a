//! `keel build`: Dockerfiles of Docker 0.6 to today.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::Value;

use super::Keel;
use super::keel::{Answer, list};

const EPOCH: &str = "1700000000";

/// A scene with a context to build from.
struct Build {
    keel: Keel,
    context: PathBuf,
}

impl Build {
    fn on(driver: &'static str) -> Self {
        let keel = Keel::on(driver);
        let context = keel.host_folder().join("context");
        fs::create_dir(&context).unwrap();
        Self { keel, context }
    }

    fn new() -> Self {
        Self::on("overlay")
    }

    /// Puts a file into the context.
    fn file(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.context.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// `keel build FLAGS CONTEXT` with this Dockerfile, in a fixed time.
    fn build(&self, flags: &[&str], dockerfile: &str) -> Answer {
        self.file("Dockerfile", dockerfile);
        let context = self.context.to_str().unwrap();
        let args = ["build"].iter().chain(flags).chain([&context]);
        let mut command = self.keel.command(args.copied());
        command.env("SOURCE_DATE_EPOCH", EPOCH);
        Answer::of(&command.output().unwrap())
    }

    /// Builds an image `made`, and says how many containers that took.
    #[track_caller]
    fn containers(&self, dockerfile: &str) -> usize {
        let answer = self.build(&["-t", "made"], dockerfile);
        let said = answer.stderr.clone();
        answer.success();
        said.matches(" ---> Running in ").count()
    }

    /// Builds an image `made`, and gives its id.
    #[track_caller]
    fn id(&self, flags: &[&str], dockerfile: &str) -> String {
        let flags: Vec<&str> = ["-q", "-t", "made"].iter().chain(flags).copied().collect();
        self.build(&flags, dockerfile)
            .success()
            .trim_end()
            .to_owned()
    }

    /// Why a build fails. It leaves no container, no image and nothing unfinished.
    #[track_caller]
    fn refused(&self, dockerfile: &str) -> String {
        let said = self.build(&["-q", "-t", "refused"], dockerfile).failure(1);
        assert_eq!(self.keel.containers_left(), Vec::<PathBuf>::new());
        self.keel.call(["inspect", "refused"]).failure(1);
        self.keel.call(["system", "check"]).success();
        said
    }

    /// What a script says in the image `made`.
    #[track_caller]
    fn shown(&self, script: &str) -> String {
        let run = [
            "run",
            "--rm",
            "-u",
            "0",
            "--entrypoint",
            "",
            "made",
            "sh",
            "-c",
            script,
        ];
        self.keel.call(run).success()
    }

    fn inspected(&self) -> Value {
        let text = self.keel.call(["image", "inspect", "made"]).success();
        serde_json::from_str::<Value>(&text).unwrap()[0].clone()
    }
}

const USUAL: &str = r#"
FROM small
MAINTAINER Jo Doe <jo@example.org>
ENV GREETING=hello WHO="the world"
WORKDIR /srv/app
COPY files ./
COPY --chown=web --chmod=750 one* two /srv/some/
RUN echo "$GREETING, $WHO" >said && rm /etc/plain && mkdir -p deep/er && chmod 700 deep
LABEL of="a test"
EXPOSE 80 53/udp
VOLUME /data
USER web
HEALTHCHECK --interval=5s CMD true
STOPSIGNAL SIGUSR1
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["pwd; id -u"]
"#;

/// What the test says of its files.
const SHOWN: &str = "hello, the world
ba1
deep 700 0:0
deep/er 755 0:0
/srv/some 755 33:34
/srv/some/one.md 750 33:34
/srv/some/one.txt 750 33:34
/srv/some/two 750 33:34
/data 755 0:0
";

#[test]
fn a_dockerfile_becomes_an_image_that_is_the_same_with_every_driver() {
    let mut ids = Vec::new();
    for driver in ["overlay", "vfs", "btrfs"] {
        let build = Build::on(driver);
        build.file("files/a", "a").file("files/sub/b", "b");
        build
            .file("one.txt", "1")
            .file("one.md", "2")
            .file("two", "3");
        symlink("a", build.context.join("files/link")).unwrap();
        build.id(&[], USUAL);
        let run = build.keel.call(["run", "--rm", "made"]).success();
        assert_eq!(run, "/srv/app\n33\n", "{driver}");
        let script = "cat said sub/b link; ls /etc/plain 2>&1 | grep -c No
            busybox stat -c '%n %a %u:%g' deep deep/er /srv/some /srv/some/* /data";
        assert_eq!(build.shown(script), SHOWN, "{driver}");
        build.keel.call(["system", "check"]).success();
        assert_eq!(build.keel.containers_left(), Vec::<PathBuf>::new());
        let image = build.inspected();
        ids.push(image["RootFS"]["Layers"].clone());
        if driver == "overlay" {
            assert_snapshot!(serde_json::to_string_pretty(&image["Config"]).unwrap());
        }
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
}

#[test]
fn a_file_of_docker_0_6_still_builds() {
    let build = Build::new();
    build.file("app/run.sh", "echo run by $USERNAME");
    let dockerfile = "
from small
maintainer Jo Doe jo@example.org
env USERNAME jo and friends
add app /opt/app
run mkdir -p /var/log && \\
    echo installed >/var/log/install
expose 8080
cmd sh /opt/app/run.sh";
    assert_eq!(build.containers(dockerfile), 1);
    let run = build.keel.call(["run", "--rm", "made"]).success();
    assert_eq!(run, "run by jo and friends\n");
    assert_eq!(build.shown("cat /var/log/install"), "installed\n");
}

#[test]
fn an_image_of_files_alone_needs_no_base() {
    let build = Build::new();
    build.file("tool", "x");
    let dockerfile = "FROM scratch\nCOPY --chmod=4755 tool /bin/\nCMD [\"/bin/tool\"]";
    assert_eq!(build.containers(dockerfile), 0);
    let from =
        "FROM small\nCOPY --from=made /bin/tool /got\nRUN busybox stat -c '%a %u' /got >/said";
    build.id(&[], from);
    assert_eq!(build.shown("cat /said"), "4755 0\n");
}

#[test]
fn the_same_input_gives_the_same_image_whatever_is_remembered() {
    let build = Build::new();
    build.file("a", "a").file("folder/b", "b");
    let dockerfile =
        "FROM small\nCOPY . /srv/\nRUN echo x >/srv/x; rm /etc/plain\nWORKDIR /w\nENV A=1";
    let first = build.id(&[], dockerfile);
    assert_eq!(build.id(&[], dockerfile), first);
    // Times of files are later than the fixed one, and no part of the image.
    build.file("a", "a");
    assert_eq!(build.id(&["--no-cache"], dockerfile), first);
    build.keel.call(["system", "prune", "-f"]).success();
    assert_eq!(build.id(&[], dockerfile), first);
}

#[test]
fn a_step_is_done_again_only_if_what_it_depends_on_has_changed() {
    let build = Build::new();
    build.file("a", "a").file("other", "1");
    let dockerfile = "FROM small\nARG V=1\nCOPY a /srv/\nRUN echo one >/srv/one\nRUN true\nCMD x";
    assert_eq!(build.containers(dockerfile), 2);
    assert_eq!(build.containers(dockerfile), 0);
    // Neither other files nor times matter, nor what comes later.
    build.file("other", "2").file("a", "a");
    assert_eq!(build.containers(dockerfile), 0);
    assert_eq!(build.containers(&dockerfile.replace("CMD x", "CMD y")), 0);
    // Contents do, modes, and values.
    build.file("a", "b");
    assert_eq!(build.containers(dockerfile), 2);
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(build.context.join("a"), mode).unwrap();
    assert_eq!(build.containers(dockerfile), 2);
    assert_eq!(build.containers(&dockerfile.replace("V=1", "V=2")), 2);
    assert_eq!(
        build.containers(&dockerfile.replace("RUN true", "RUN :")),
        1
    );
    // A proxy does not.
    let flags = ["-t", "made", "--build-arg", "http_proxy=http://proxy"];
    let said = build.build(&flags, dockerfile).stderr;
    assert_eq!(said.matches("Running in").count(), 0, "{said}");
    let again = build.build(&["--no-cache"], dockerfile).stderr;
    assert_eq!(again.matches("Running in").count(), 2, "{again}");
}

#[test]
fn what_is_remembered_keeps_its_layers_until_it_is_pruned() {
    let build = Build::new();
    let dockerfile = "FROM small\nRUN echo x >/srv/x";
    assert_eq!(build.containers(dockerfile), 1);
    build.keel.call(["rmi", "made"]).success();
    build.keel.call(["system", "check"]).success();
    assert_eq!(build.containers(dockerfile), 0);
    assert_eq!(build.shown("cat /srv/x"), "x\n");
    build.keel.call(["rmi", "made"]).success();
    let df = [
        "system",
        "df",
        "--format",
        "{{.Type}} {{.TotalCount}} {{.Size}}",
    ];
    let df = build.keel.call(df).success();
    assert!(df.contains("Build Cache 1 2B\n"), "{df}");
    build.keel.call(["system", "prune", "-f"]).success();
    let layers = build.keel.root().join("storage/overlay/layers");
    assert_eq!(list(&layers).len(), 1, "the base image's");
    assert_eq!(build.containers(dockerfile), 1);
}

#[test]
fn a_damaged_record_is_a_step_to_be_done_again() {
    let build = Build::new();
    let dockerfile = "FROM small\nRUN true";
    build.containers(dockerfile);
    for record in list(&build.keel.root().join("images/build-cache")) {
        fs::write(record, "{").unwrap();
    }
    build.keel.call(["system", "check"]).success();
    assert_eq!(build.containers(dockerfile), 1);
    assert_eq!(build.containers(dockerfile), 0);
}

#[test]
fn only_the_stages_that_are_needed_are_built() {
    let build = Build::new();
    let dockerfile = "
ARG BASE=small
FROM $BASE AS tools
ARG BASE
RUN echo of $BASE >/srv/tool && chmod 711 /srv/tool
FROM small AS unused
RUN false
FROM tools AS test
RUN echo tested >/srv/tested
FROM scratch AS files
COPY --from=tools /srv/tool /srv/tool
COPY --from=0 /etc/pass* /got/
FROM small
COPY --from=FILES /srv/tool /got/passwd /srv/files/
COPY --from=small /etc/group /srv/files/";
    assert_eq!(build.containers(dockerfile), 1);
    let files = build.shown("cd /srv/files; ls; cat tool; busybox stat -c %a tool");
    assert_eq!(files, "group\npasswd\ntool\nof small\n711\n");
    build.id(&["--target", "Test"], dockerfile);
    assert_eq!(
        build.shown("cat /srv/tool /srv/tested"),
        "of small\ntested\n"
    );
    let said = build.build(&["--target", "none"], dockerfile).failure(1);
    assert!(said.contains("there is no stage `none`"), "{said}");
    build.build(&["--target", "unused"], dockerfile).failure(1);
}

#[test]
fn arguments_are_known_where_they_are_declared() {
    let build = Build::new();
    let dockerfile = "
ARG TAG=latest
FROM small:$TAG
RUN echo \"[$A][$B][$C][$TARGETARCH]\" >/before
ARG A=a
ARG B
ARG C=c TARGETARCH
ENV C=of-env
RUN echo \"[$A][$B][$C][$TARGETARCH]\" >/after
LABEL seen=$A-$B-$C";
    let flags = [
        "-t",
        "made",
        "--build-arg",
        "B=given",
        "--build-arg",
        "Z=1",
        "--label",
        "x=y",
    ];
    let answer = build.build(&flags, dockerfile);
    assert!(answer.stderr.contains("build-args [\"Z\"]"), "{answer:?}");
    answer.success();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let expected = format!("[][][][]\n[a][given][of-env][{architecture}]\n");
    assert_eq!(build.shown("cat /before /after"), expected);
    let labels = &build.inspected()["Config"]["Labels"];
    assert_eq!(labels["seen"], "a-given-of-env");
    assert_eq!(labels["x"], "y");
}

#[test]
fn triggers_are_done_by_the_images_on_top() {
    let build = Build::new();
    build.file("a", "of the child");
    let base = "FROM small\nONBUILD COPY a /srv/a\nONBUILD RUN echo x >>/srv/a";
    build.build(&["-t", "base"], base).success();
    assert_eq!(build.containers("FROM base\nRUN echo y >>/srv/a"), 2);
    assert_eq!(build.shown("cat /srv/a"), "of the childx\ny\n");
    let on_build = &build.inspected()["Config"]["OnBuild"];
    assert!(on_build.is_null(), "{on_build}");
    fs::remove_file(build.context.join("a")).unwrap();
    let said = build.refused("FROM base");
    assert!(
        said.contains("the image's `ONBUILD COPY a /srv/a` failed"),
        "{said}"
    );
}

#[test]
fn here_documents_are_scripts_and_files() {
    let build = Build::new();
    let dockerfile = "
FROM small
ENV WHO=you
RUN <<EOF
echo one >/srv/one
echo $WHO >>/srv/one
EOF
RUN cat <<'EOF' >/srv/two
it's $WHO
EOF
COPY <<-three <<'four' /srv/
\tto \"$WHO\"
three
as it is: $WHO
four
";
    build.id(&[], dockerfile);
    assert_eq!(
        build.shown("cd /srv; cat one two three four"),
        "one\nyou\nit's $WHO\nto \"you\"\nas it is: $WHO\n"
    );
}

#[test]
fn add_unpacks_archives_and_copy_does_not() {
    let build = Build::new();
    let mut tar = tar::Builder::new(Vec::new());
    for (path, uid) in [("in/a", 33), ("in/b", 0)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o640);
        header.set_uid(uid);
        header.set_gid(uid);
        header.set_mtime(5);
        let text = path.trim_start_matches("in/").as_bytes();
        tar.append_data(&mut header, path, text).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    build.file("plain.tar", &tar);
    build.file("x.tgz", gzip.finish().unwrap());
    let zstd = ruzstd::encoding::compress_to_vec(
        tar.as_slice(),
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    build.file("x.zst", zstd).file("text", "no archive\n");
    build.id(
        &[],
        "FROM small
         ADD plain.tar /srv/plain
         ADD x.tgz text /srv/gzip/
         ADD --chown=7 x.zst /srv/zstd/
         COPY plain.tar /srv/copy/",
    );
    let script = "cd /srv; busybox stat -c '%n %a %u %Y' */in/a; cat gzip/text */in/b; ls copy";
    assert_eq!(
        build.shown(script),
        "gzip/in/a 640 33 5\nplain/in/a 640 33 5\nzstd/in/a 640 7 5\nno archive\nbbbplain.tar\n"
    );
    build.file("x.bz2", "BZh91AY&SY");
    let said = build.refused("FROM small\nADD x.bz2 /srv/");
    assert!(said.contains("bzip2"), "{said}");
}

#[test]
fn what_is_ignored_is_not_copied() {
    let build = Build::new();
    build.file(
        ".dockerignore",
        "secret\n**/*.log\nnode\n!node/kept\nDockerfile\n.dockerignore",
    );
    for path in [
        "secret/key",
        "a",
        "sub/x.log",
        "sub/b",
        "node/kept",
        "node/huge",
    ] {
        build.file(path, "");
    }
    build.id(&[], "FROM small\nCOPY . /srv/");
    let found = build.shown("cd /srv; busybox find . | busybox sort");
    assert_eq!(found, ".\n./a\n./node\n./node/kept\n./sub\n./sub/b\n");
    for pattern in ["secret", "secret/key", "node/huge", "*.log"] {
        let said = build.refused(&format!("FROM small\nCOPY {pattern} /srv/"));
        assert!(said.contains("nothing is called"), "{said}");
    }
}

/// As CVE-2018-15664 and CVE-2024-23651 to -23653, which led through links in the context, in
/// another stage, or in the image.
#[test]
fn no_link_leads_out_of_the_context_or_the_image() {
    let build = Build::new();
    let outside = build.keel.host_folder().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    symlink(&outside, build.context.join("absolute")).unwrap();
    symlink("../outside", build.context.join("relative")).unwrap();
    symlink("/proc/self/root/etc/passwd", build.context.join("magic")).unwrap();
    for source in [
        "absolute",
        "absolute/secret",
        "relative/secret",
        "rel*/secret",
        "magic",
        "../outside/secret",
        "a/../../outside/secret",
    ] {
        build.refused(&format!("FROM small\nCOPY {source} /srv/"));
    }
    // In a folder a link is a link.
    build.id(
        &[],
        "FROM small\nCOPY . /srv/\nRUN busybox readlink /srv/relative >/said",
    );
    assert_eq!(build.shown("cat /said"), "../outside\n");
    // Of the host nothing is written, nor read, through links of an image.
    let shown = outside.to_str().unwrap();
    let dockerfile = format!(
        "FROM small AS evil
         RUN busybox ln -s {shown} /out && busybox ln -s /../../../../..{shown} /up
         COPY Dockerfile /out/one
         COPY Dockerfile /up/two
         WORKDIR /out/three
         FROM small
         COPY --from=evil /out /srv/out/
         RUN ls /srv/out >/said"
    );
    build.id(&[], &dockerfile);
    assert_eq!(build.shown("cat /said"), "one\nthree\ntwo\n");
    assert_eq!(list(&outside), [outside.join("secret")]);
}

#[test]
fn an_archive_cannot_remove_what_is_in_the_image() {
    let build = Build::new();
    for name in [".wh.passwd", "sub/.wh..wh..opq"] {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, [].as_slice()).unwrap();
        build.file("evil.tar", tar.into_inner().unwrap());
        let said = build.refused("FROM small\nADD evil.tar /etc/");
        assert!(said.contains("mean a removal"), "{said}");
    }
    build.file(".wh.passwd", "");
    let said = build.refused("FROM small\nCOPY .wh.passwd /etc/");
    assert!(said.contains("mean a removal"), "{said}");
}

#[test]
fn a_build_that_fails_says_where_and_leaves_nothing() {
    let build = Build::new();
    build.file("a", "").file("folder/b", "");
    let all = [
        "FROM small\n\nRUN echo out; echo err >&2; \\\n  exit 3\nRUN true",
        "FROM none",
        "FROM small\nRUN [\"/none\"]",
        "FROM small\nRUN kill -9 $$",
        "FROM small\nUSER nobody-there\nRUN true",
        "FROM small\nCOPY missing /x",
        "FROM small\nCOPY a folder /x",
        "FROM small\nCOPY a /etc/passwd/x",
        "FROM small\nCOPY folder /etc/passwd",
        "FROM small\nRUN mkdir /x /x/a\nCOPY a /x/",
        "FROM small\nCOPY --chown=none a /x",
        "FROM small\nWORKDIR /etc/passwd",
        "FROM --platform=linux/none small",
        "FROM scratch\nRUN true",
        "FROM small\nENV",
        "FROM small\nCOPPY a b",
        "RUN true",
        "FROM small AS own\nCOPY --from=own /x /y",
    ]
    .map(|dockerfile| build.refused(dockerfile));
    assert_snapshot!(all.join("\n"));
}

#[test]
fn what_happens_is_told_and_the_id_is_the_answer() {
    let build = Build::new();
    let file = build.keel.host_folder().join("id");
    let iidfile = file.to_str().unwrap();
    let dockerfile = "FROM small\nRUN echo seen; echo too >&2\nCMD true";
    let flags = ["-t", "one", "-t", "two:2", "--iidfile", iidfile];
    let answer = build.build(&flags, dockerfile);
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), ""));
    let id = fs::read_to_string(&file).unwrap();
    let mut said = answer.stderr.replace(&id[7..19], "ID");
    let running = said.find("Running in ").unwrap() + "Running in ".len();
    said.replace_range(running..running + 12, "CONTAINER");
    assert_snapshot!(said, @r"
    Step 1/3 : FROM small
    Step 2/3 : RUN echo seen; echo too >&2
     ---> Running in CONTAINER
    seen
    too
    Step 3/3 : CMD true
    Successfully built ID
    Successfully tagged one:latest
    Successfully tagged two:2
    ");
    let quiet = build.build(&["-q", "-t", "three"], dockerfile);
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.stdout.trim_end(), id);
    for name in ["one", "two:2", "three"] {
        build.keel.call(["image", "inspect", name]).success();
    }
    // Of a build that fails no id stays.
    build.build(&["--iidfile", iidfile], "FROM none").failure(1);
    assert!(!file.exists());
}

#[test]
fn a_context_or_a_dockerfile_may_come_through_a_pipe() {
    let build = Build::new();
    let piped = |args: &[&str], input: &[u8]| {
        let mut child = build
            .keel
            .command(args.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Answer::of(&child.wait_with_output().unwrap())
    };
    let made = ["build", "-q", "-t", "made", "-"];
    piped(&made, b"FROM small\nRUN echo 1 >/srv/x").success();
    assert_eq!(build.shown("cat /srv/x"), "1\n");
    piped(&made, b"FROM small\nCOPY x /").failure(1);
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in [("Dockerfile", "FROM small\nCOPY sub /srv/"), ("sub/x", "2")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    piped(&made, &tar.into_inner().unwrap()).success();
    assert_eq!(build.shown("cat /srv/x"), "2");
    build.file("x", "3");
    let context = build.context.to_str().unwrap();
    let args = ["build", "-q", "-t", "made", "-f", "-", context];
    piped(&args, b"FROM small\nCOPY x /srv/").success();
    assert_eq!(build.shown("cat /srv/x"), "3");
    build.keel.call(["system", "check"]).success();
}
