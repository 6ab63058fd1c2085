"""Names of fields as Kubernetes writes them. Whole pods are compared in test_leader_worker_set.py."""

from slipway.kubernetes.camel import camel


def test_fields_are_renamed_at_every_depth_and_the_user_s_own_keys_are_not() -> None:
    given = {
        "node_selector": {"my_pool": "a_b"},
        "containers": [{"volume_mounts": [{"mount_path": "/a_b"}], "lifecycle": {"pre_stop": {"exec_": {"command": ["a_b"]}}}}],
        "labels": {"x_y/z_1": "v"},
    }
    assert camel(given) == {
        "nodeSelector": {"my_pool": "a_b"},
        "containers": [{"volumeMounts": [{"mountPath": "/a_b"}], "lifecycle": {"preStop": {"exec": {"command": ["a_b"]}}}}],
        "labels": {"x_y/z_1": "v"},
    }
