use insta::assert_json_snapshot;
use serde_json::Value;

use super::*;
use crate::container::config::{ImageUsed, SCHEMA};
use crate::container::id::ContainerId;
use crate::container::options::{capabilities_in, default_capabilities};

fn config(process: ProcessConfig, host: HostConfig) -> Config {
    let id = ContainerId::try_from("ab".repeat(32)).unwrap();
    Config {
        schema: SCHEMA.to_owned(),
        name: "web".parse().unwrap(),
        created: "2026-01-02T03:04:05.000000000Z".to_owned(),
        image: ImageUsed {
            reference: "small".to_owned(),
            id: format!("sha256:{}", "cd".repeat(32)),
        },
        tree: None,
        driver: "overlay".to_owned(),
        process: ProcessConfig {
            cmd: vec!["/bin/true".to_owned()],
            env: vec!["PATH=/bin".to_owned()],
            hostname: id.short().to_owned(),
            ..process
        },
        host: HostConfig {
            cgroup: format!("/keel/{id}"),
            ..host
        },
        id,
    }
}

fn facts() -> Facts {
    Facts {
        identity: Identity {
            uid: 0,
            gid: 0,
            groups: vec![10],
            home: "/root".to_owned(),
        },
        capabilities: default_capabilities(),
        devices: Vec::new(),
        cgroups: Presence::Present,
        device_rules: Presence::Present,
        tty_group: Presence::Present,
        cgroup_namespaces: Presence::Present,
        swap_limit: Presence::Present,
        files: Some(PathBuf::from("/var/lib/keel/containers/web-abababababab")),
        volumes: Volumes::new(Path::new("/var/lib/keel")),
    }
}

/// The spec as JSON, with sets in order: snapshots are compared as text.
fn json(config: &Config, facts: &Facts) -> Value {
    let mut value = serde_json::to_value(spec(config, facts).unwrap()).unwrap();
    let capabilities = value.pointer_mut("/process/capabilities").unwrap();
    for set in capabilities.as_object_mut().unwrap().values_mut() {
        set.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    }
    value
}

fn host(change: impl FnOnce(&mut HostConfig)) -> Value {
    let mut host = HostConfig::default();
    change(&mut host);
    json(&config(ProcessConfig::default(), host), &facts())
}

fn destinations(spec: &Value) -> Vec<String> {
    let mounts = spec["mounts"].as_array().unwrap();
    let destination = |mount: &Value| mount["destination"].as_str().unwrap().to_owned();
    mounts.iter().map(destination).collect()
}

#[test]
fn a_container_gets_what_docker_gives_it() {
    assert_json_snapshot!("default", host(|_| {}));
}

#[test]
fn a_privileged_container_gets_everything() {
    let privileged = HostConfig {
        privileged: true,
        ..HostConfig::default()
    };
    let facts = Facts {
        capabilities: capabilities_in(u64::MAX),
        ..facts()
    };
    let spec = json(&config(ProcessConfig::default(), privileged), &facts);
    assert_json_snapshot!("privileged", spec);
}

#[test]
fn limits_become_resources() {
    let spec = host(|host| {
        host.memory = Some("64m".parse().unwrap());
        host.cpus = Some("1.5".parse().unwrap());
        host.cpu_shares = Some(512);
        host.pids_limit = Some(20);
        host.ulimits = vec!["nofile=64:128".parse().unwrap()];
    });
    let mut resources = spec["linux"]["resources"].clone();
    resources.as_object_mut().unwrap().remove("devices");
    assert_json_snapshot!(resources, @r#"
    {
      "cpu": {
        "period": 100000,
        "quota": 150000,
        "shares": 512
      },
      "memory": {
        "limit": 67108864,
        "swap": 134217728
      },
      "pids": {
        "limit": 20
      }
    }
    "#);
    assert_json_snapshot!(spec["process"]["rlimits"], @r#"
    [
      {
        "hard": 128,
        "soft": 64,
        "type": "RLIMIT_NOFILE"
      }
    ]
    "#);
}

#[test]
fn a_process_that_is_not_root_has_no_capability_it_could_use() {
    let mut facts = facts();
    facts.identity.uid = 1000;
    let spec = json(
        &config(ProcessConfig::default(), HostConfig::default()),
        &facts,
    );
    let set = |name: &str| {
        spec["process"]["capabilities"][name]
            .as_array()
            .map(Vec::len)
    };
    assert_eq!(set("bounding"), Some(14));
    assert_eq!(
        (set("effective"), set("permitted"), set("inheritable")),
        (Some(0), Some(0), Some(0))
    );
}

#[test]
fn what_the_user_mounts_replaces_the_default_and_what_is_below() {
    let spec = host(|host| {
        host.volumes = vec![
            "/srv/etc:/etc".parse().unwrap(),
            "/srv/shm:/dev/shm".parse().unwrap(),
        ];
    });
    assert_eq!(
        destinations(&spec),
        [
            "/proc",
            "/dev",
            "/dev/pts",
            "/sys",
            "/dev/mqueue",
            "/sys/fs/cgroup",
            "/etc",
            "/dev/shm"
        ]
    );
}

#[test]
fn folders_are_mounted_before_what_is_in_them() {
    let spec = host(|host| {
        host.volumes = vec!["/x:/srv/a/b".parse().unwrap(), "/y:/srv".parse().unwrap()];
        host.tmpfs = vec!["/srv/a:size=1m".parse().unwrap()];
    });
    let destinations = destinations(&spec);
    assert_eq!(
        destinations[destinations.len() - 3..],
        ["/srv", "/srv/a", "/srv/a/b"]
    );
}

#[test]
fn without_control_groups_none_are_shown_and_swap_is_left_alone() {
    let facts = Facts {
        cgroups: Presence::Absent,
        swap_limit: Presence::Absent,
        ..facts()
    };
    let limited = HostConfig {
        memory: Some("64m".parse().unwrap()),
        ..HostConfig::default()
    };
    let spec = json(&config(ProcessConfig::default(), limited), &facts);
    assert!(!destinations(&spec).contains(&"/sys/fs/cgroup".to_owned()));
    assert_eq!(
        spec["linux"]["resources"]["memory"],
        serde_json::json!({"limit": 64 << 20})
    );
}

#[test]
fn the_home_folder_is_the_users_unless_the_image_says_otherwise() {
    let env = |env: Vec<String>| {
        let mut config = config(ProcessConfig::default(), HostConfig::default());
        config.process.env = env;
        json(&config, &facts())["process"]["env"].clone()
    };
    assert_eq!(env(vec![]), serde_json::json!(["HOME=/root"]));
    assert_eq!(
        env(vec!["HOME=/x".to_owned()]),
        serde_json::json!(["HOME=/x"])
    );
}

#[test]
fn a_volume_lies_below_the_root_folder() {
    let spec = host(|host| host.volumes = vec!["data:/data:ro".parse().unwrap()]);
    let mounts = spec["mounts"].as_array().unwrap();
    let mount = mounts.last().unwrap();
    assert_eq!(mount["source"], "/var/lib/keel/volumes/data/_data");
    assert_eq!(
        mount["options"],
        serde_json::json!(["rbind", "rprivate", "ro"])
    );
}

#[test]
fn the_root_of_a_user_namespace_asks_for_nothing_that_only_the_hosts_has() {
    let config = config(ProcessConfig::default(), HostConfig::default());
    let facts = Facts {
        device_rules: Presence::Absent,
        tty_group: Presence::Absent,
        cgroups: Presence::Absent,
        ..facts()
    };
    let spec = json(&config, &facts);
    assert_eq!(spec.pointer("/linux/resources/devices"), None);
    let text = spec.to_string();
    assert!(
        !text.contains("gid=5") && !text.contains("/sys/fs/cgroup"),
        "{text}"
    );
}
