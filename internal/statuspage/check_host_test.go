package statuspage_test

const disk = `
moodle_threshold{name="disk_free_ratio_warning"} 0.15
moodle_threshold{name="disk_free_ratio_critical"} 0.05
moodle_host_filesystem_responding{mountpoint="/",fstype="ext4"} 1
moodle_host_filesystem_readonly{mountpoint="/",fstype="ext4"} 0
moodle_host_filesystem_size_bytes{mountpoint="/",fstype="ext4"} 1000
`

var hostCases = []checkCase{
	{"Host", "nothing known", ``, []verdict{{unknown, "", "CPU", ""}, {unknown, "", "memory", ""}, {unknown, "", "filesystems", ""}}},
	{"Host", "CPU is not judged", "moodle_host_cpus 1\nmoodle_host_load5 400", []verdict{{info, "", "CPU", ""}}},
	{"Host", "memory at the limit", `
		moodle_threshold{name="memory_available_ratio"} 0.1
		moodle_host_memory_total_bytes 1000
		moodle_host_memory_available_bytes 100`, []verdict{{ok, "", "memory", ""}}},
	{"Host", "memory below the limit", `
		moodle_threshold{name="memory_available_ratio"} 0.1
		moodle_host_memory_total_bytes 1000
		moodle_host_memory_available_bytes 99`, []verdict{{warning, "", "memory", "MoodleHostMemoryLow"}}},
	{"Host", "memory without a limit", `
		moodle_host_memory_total_bytes 1000
		moodle_host_memory_available_bytes 500`, []verdict{{unknown, "", "memory", ""}}},
	{"Host", "memory at NaN", `
		moodle_threshold{name="memory_available_ratio"} 0.1
		moodle_host_memory_total_bytes 1000
		moodle_host_memory_available_bytes NaN`, []verdict{{unknown, "", "memory", ""}}},
	{"Host", "disk at the limit", disk + `moodle_host_filesystem_avail_bytes{mountpoint="/",fstype="ext4"} 150`, []verdict{{ok, "", "/", ""}}},
	{"Host", "disk below the limit", disk + `moodle_host_filesystem_avail_bytes{mountpoint="/",fstype="ext4"} 149`, []verdict{{warning, "", "/", "MoodleDiskSpaceLow"}}},
	{"Host", "disk at the second limit", disk + `moodle_host_filesystem_avail_bytes{mountpoint="/",fstype="ext4"} 50`, []verdict{{warning, "", "/", "MoodleDiskSpaceLow"}}},
	{"Host", "disk below the second limit", disk + `moodle_host_filesystem_avail_bytes{mountpoint="/",fstype="ext4"} 49`, []verdict{{critical, "", "/", "MoodleDiskSpaceCritical"}}},
	{"Host", "disk without free space known", disk, []verdict{{unknown, "", "/", ""}}},
	{"Host", "disk without limits", `
		moodle_host_filesystem_responding{mountpoint="/",fstype="ext4"} 1
		moodle_host_filesystem_readonly{mountpoint="/",fstype="ext4"} 0
		moodle_host_filesystem_size_bytes{mountpoint="/",fstype="ext4"} 1000
		moodle_host_filesystem_avail_bytes{mountpoint="/",fstype="ext4"} 1`, []verdict{{unknown, "", "/", ""}}},
	{"Host", "full and read-only, with and without a role", `
		moodle_threshold{name="disk_free_ratio_warning"} 0.15
		moodle_host_filesystem_responding{mountpoint="/iso",fstype="iso9660"} 1
		moodle_host_filesystem_readonly{mountpoint="/iso",fstype="iso9660"} 1
		moodle_host_filesystem_size_bytes{mountpoint="/iso",fstype="iso9660"} 1000
		moodle_host_filesystem_avail_bytes{mountpoint="/iso",fstype="iso9660"} 0
		moodle_host_filesystem_responding{mountpoint="/data",fstype="ext4"} 1
		moodle_host_filesystem_readonly{mountpoint="/data",fstype="ext4"} 1
		moodle_host_filesystem_role_info{mountpoint="/data",role="moodledata"} 1`,
		[]verdict{{info, "", "/iso", ""}, {critical, "", "/data", "MoodleDiskReadOnly"}}},
	{"Host", "hanging, with and without a role", `
		moodle_host_filesystem_responding{mountpoint="/mnt",fstype="nfs4"} 0
		moodle_host_filesystem_readonly{mountpoint="/mnt",fstype="nfs4"} 0
		moodle_host_filesystem_responding{mountpoint="/data",fstype="nfs4"} 0
		moodle_host_filesystem_readonly{mountpoint="/data",fstype="nfs4"} 0
		moodle_host_filesystem_role_info{mountpoint="/data",role="moodledata"} 1`,
		[]verdict{{warning, "", "/mnt", ""}, {critical, "", "/data", "MoodleDiskNotResponding"}}},
	{"Host", "whether read-only is not known", `moodle_host_filesystem_responding{mountpoint="/",fstype="ext4"} 1`, []verdict{{unknown, "", "/", ""}}},
	{"Host", "inodes at the limit", disk + `
		moodle_host_filesystem_avail_bytes{mountpoint="/",fstype="ext4"} 500
		moodle_host_filesystem_files{mountpoint="/",fstype="ext4"} 1000
		moodle_host_filesystem_files_free{mountpoint="/",fstype="ext4"} 50`, []verdict{{ok, "", "/", ""}}},
	{"Host", "inodes below the limit", disk + `
		moodle_host_filesystem_avail_bytes{mountpoint="/",fstype="ext4"} 500
		moodle_host_filesystem_files{mountpoint="/",fstype="ext4"} 1000
		moodle_host_filesystem_files_free{mountpoint="/",fstype="ext4"} 49`, []verdict{{warning, "", "/", "MoodleDiskInodesLow"}}},
}

var certificateCases = []checkCase{
	{"Certificates", "none, nothing known", ``, []verdict{{unknown, "", "certificates", ""}}},
	{"Certificates", "none, and there must be one", `
		moodle_scrape_collector_success{collector="certificate"} 1
		moodle_site_info{site="lms",wwwroot="https://lms"} 1`, []verdict{{unknown, "", "certificates", ""}}},
	{"Certificates", "none needed", `
		moodle_scrape_collector_success{collector="certificate"} 1
		moodle_site_info{site="lms",wwwroot="http://lms"} 1`, []verdict{{info, "", "certificates", ""}}},
	{"Certificates", "at the limit", `
		moodle_threshold{name="cert_warning_days"} 30
		moodle_certificate_not_after_timestamp_seconds{target="a",source="file"} @2462400`, []verdict{{ok, "", "a", ""}}},
	{"Certificates", "below the limit", `
		moodle_threshold{name="cert_warning_days"} 30
		moodle_certificate_not_after_timestamp_seconds{target="a",source="file"} @2462399`, []verdict{{warning, "", "a", "MoodleCertExpiringSoon"}}},
	{"Certificates", "its last second", `
		moodle_threshold{name="cert_warning_days"} 30
		moodle_certificate_not_after_timestamp_seconds{target="a",source="file"} @1`, []verdict{{critical, "", "a", "MoodleCertExpiresInAWeek"}}},
	{"Certificates", "expired", `
		moodle_threshold{name="cert_warning_days"} 30
		moodle_certificate_not_after_timestamp_seconds{target="a",source="file"} @0`, []verdict{{critical, "", "a", "MoodleCertExpired"}}},
	{"Certificates", "no limit", `moodle_certificate_not_after_timestamp_seconds{target="a",source="file"} @2462399`, []verdict{{unknown, "", "a", ""}}},
	{"Certificates", "no handshake", `moodle_certificate_probe_success{target="a:443"} 0`, []verdict{{warning, "", "a:443", "MoodleTLSProbeFailing"}}},
	{"Certificates", "handshake without a certificate", `moodle_certificate_probe_success{target="a:443"} 1`, []verdict{{unknown, "", "a:443", ""}}},
	{"Certificates", "wrong name", `
		moodle_certificate_probe_success{target="a:443"} 1
		moodle_certificate_not_after_timestamp_seconds{target="a:443",source="endpoint"} @9000000
		moodle_threshold{name="cert_warning_days"} 30
		moodle_certificate_hostname_match{target="a:443"} 0
		moodle_certificate_chain_valid{target="a:443"} 0`, []verdict{{critical, "", "a:443", "MoodleCertChainInvalid"}}},
	{"Certificates", "wrong chain", `
		moodle_certificate_probe_success{target="a:443"} 1
		moodle_certificate_not_after_timestamp_seconds{target="a:443",source="endpoint"} @9000000
		moodle_threshold{name="cert_warning_days"} 30
		moodle_certificate_chain_valid{target="a:443"} 0`, []verdict{{critical, "", "a:443", "MoodleCertChainInvalid"}}},
}
