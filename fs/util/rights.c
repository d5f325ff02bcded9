// SPDX-License-Identifier: Apache-2.0
/*
 * Giving rights up (rights.h). By system call: libcap would be one more library
 * for two calls that have not changed since Linux 2.6.26.
 *
 * A program that root executes is given its whole bounding set; under
 * no_new_privs the kernel cuts that down to the permitted set of before
 * (security/commoncap.c, cap_bprm_creds_from_file). So a set that is kept as
 * permitted, and not in effect, is what an executed program gets.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fabricfs/rights.h>

/* linux/capability.h, without "CAP_" and in lower case. */
static const char *const names[] = {
	[CAP_CHOWN] = "chown",
	[CAP_DAC_OVERRIDE] = "dac_override",
	[CAP_DAC_READ_SEARCH] = "dac_read_search",
	[CAP_FOWNER] = "fowner",
	[CAP_FSETID] = "fsetid",
	[CAP_KILL] = "kill",
	[CAP_SETGID] = "setgid",
	[CAP_SETUID] = "setuid",
	[CAP_SETPCAP] = "setpcap",
	[CAP_LINUX_IMMUTABLE] = "linux_immutable",
	[CAP_NET_BIND_SERVICE] = "net_bind_service",
	[CAP_NET_BROADCAST] = "net_broadcast",
	[CAP_NET_ADMIN] = "net_admin",
	[CAP_NET_RAW] = "net_raw",
	[CAP_IPC_LOCK] = "ipc_lock",
	[CAP_IPC_OWNER] = "ipc_owner",
	[CAP_SYS_MODULE] = "sys_module",
	[CAP_SYS_RAWIO] = "sys_rawio",
	[CAP_SYS_CHROOT] = "sys_chroot",
	[CAP_SYS_PTRACE] = "sys_ptrace",
	[CAP_SYS_PACCT] = "sys_pacct",
	[CAP_SYS_ADMIN] = "sys_admin",
	[CAP_SYS_BOOT] = "sys_boot",
	[CAP_SYS_NICE] = "sys_nice",
	[CAP_SYS_RESOURCE] = "sys_resource",
	[CAP_SYS_TIME] = "sys_time",
	[CAP_SYS_TTY_CONFIG] = "sys_tty_config",
	[CAP_MKNOD] = "mknod",
	[CAP_LEASE] = "lease",
	[CAP_AUDIT_WRITE] = "audit_write",
	[CAP_AUDIT_CONTROL] = "audit_control",
	[CAP_SETFCAP] = "setfcap",
	[CAP_MAC_OVERRIDE] = "mac_override",
	[CAP_MAC_ADMIN] = "mac_admin",
	[CAP_SYSLOG] = "syslog",
	[CAP_WAKE_ALARM] = "wake_alarm",
	[CAP_BLOCK_SUSPEND] = "block_suspend",
	[CAP_AUDIT_READ] = "audit_read",
	[CAP_PERFMON] = "perfmon",
	[CAP_BPF] = "bpf",
	[CAP_CHECKPOINT_RESTORE] = "checkpoint_restore",
};

uint64_t right_parse(const char *name)
{
	if (!strncasecmp(name, "cap_", 4))
		name += 4;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i] && !strcasecmp(name, names[i]))
			return RIGHT(i);
	return 0;
}

static int permitted_get(uint64_t *permitted)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	if (syscall(SYS_capget, &header, data))
		return -errno;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

uint64_t rights_have(void)
{
	uint64_t permitted = 0;

	return permitted_get(&permitted) ? 0 : permitted;
}

bool rights_suffice(uint64_t keep, const char *dir)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct now[2] = { { 0 } }, less[2];
	bool suffice;

	if (syscall(SYS_capget, &header, now))
		return false;
	memcpy(less, now, sizeof(less));
	for (int i = 0; i < 2; i++)
		less[i].effective &= (uint32_t)(keep >> 32 * i);
	if (syscall(SYS_capset, &header, less))
		return false;
	suffice = !faccessat(AT_FDCWD, dir, R_OK | W_OK | X_OK, AT_EACCESS) || errno != EACCES;
	/* They are permitted still: this cannot be refused. */
	(void)!syscall(SYS_capset, &header, now);
	return suffice;
}

int rights_drop_quietly(uint64_t keep, uint64_t lend)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	uint64_t have = 0;
	int err = permitted_get(&have);

	if (err)
		return err;
	/* Up to the first that this kernel does not know. Without CAP_SETPCAP it may not be
	 * done, and no_new_privs says the same. */
	for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!((keep | lend) & RIGHT(cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno != EPERM)
			return -errno;
	lend = (keep | lend) & have;
	keep &= have;
	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(keep >> 32 * i);
		data[i].permitted = (uint32_t)(lend >> 32 * i);
	}
	/* The inheritable set is emptied with it, and the ambient set follows that. */
	if (syscall(SYS_capset, &header, data) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return 0;
}

int rights_drop(uint64_t keep, uint64_t lend, struct reason *why)
{
	int err = rights_drop_quietly(keep, lend);

	return err ? reason_set(why, -err, "cannot give up rights that are not needed: %s", strerror(-err)) : 0;
}
