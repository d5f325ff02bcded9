# SPDX-License-Identifier: Apache-2.0
"""What OpenStack's own clients make of the cloud `lab` of each folder's clouds.yaml: a line of JSON each.

A program of its own, as the tests have a module of the name `openstack`, too.
"""
import json
import sys
import warnings

import openstack.config

for folder in sys.argv[1:]:
    files = {key: [f"{folder}/{name}.yaml"] for key, name in (
        ("config_files", "clouds"), ("secure_files", "secure"), ("vendor_files", "clouds-public"))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        region = openstack.config.OpenStackConfig(load_envvars=False, **files).get_one("lab")
    print(json.dumps({"auth": region.config["auth"], "type": region.config["auth_type"],
                      "interface": region.get_interface("image").removesuffix("URL"),
                      "region": region.get_region_name("image")}))
