package main

func host() board {
	return board{
		name: "host", title: "Host and services", from: "now-6h",
		description: "The host under the sites and what runs on it: CPU, memory, disks, systemd units, PHP-FPM, nginx, Redis, certificates, and the exporter itself.",
		rows: []row{
			{"Host", hostPanels()}, {"Disks", diskPanels()}, {"Services", servicePanels()}, {"PHP-FPM", fpmPanels()},
			{"nginx and Redis", webPanels()}, {"Certificates", certificatePanels()}, {"Exporter", exporterPanels()},
		},
	}
}

func hostPanels() []*panel {
	return []*panel{
		stacked("CPU", "percentunit", "Part of all CPU time, without idle; iowait is waiting for disks. No data: the collector cpu is off.",
			ask{`sum by (instance, mode) (rate(moodle_host_cpu_seconds_total{HOST, mode!="idle"}[$__rate_interval])) / on (instance) group_left () sum by (instance) (rate(moodle_host_cpu_seconds_total{HOST}[$__rate_interval]))`, "{{mode}} on {{instance}}"}),
		series("CPU busy", "percentunit", "As the alert sees it, and the limit. No data: the rules of moodle-exporter are not loaded.", ask{`instance:moodle_host_cpu_busy:ratio_rate5m{HOST}`, "{{instance}}"}, limit("cpu_busy_ratio")).between(0, 1).runbook("MoodleHostCPUBusy"),
		series("Load", "none", "Processes that run or wait for a disk, and the number of CPUs. No data: the collector cpu is off.", ask{`moodle_host_load1{HOST}`, "1 min {{instance}}"}, ask{`moodle_host_load5{HOST}`, "5 min {{instance}}"}, ask{`moodle_host_load15{HOST}`, "15 min {{instance}}"}, ask{`moodle_host_cpus{HOST}`, limitPrefix + "CPUs of {{instance}}"}),
		series("Memory", "bytes", "No data: the collector memory is off.", ask{`moodle_host_memory_total_bytes{HOST}`, limitPrefix + "all of {{instance}}"}, ask{`moodle_host_memory_available_bytes{HOST}`, "available {{instance}}"}, ask{`moodle_host_memory_free_bytes{HOST}`, "free {{instance}}"},
			ask{`moodle_host_memory_cached_bytes{HOST}`, "cached {{instance}}"}, ask{`moodle_host_memory_buffers_bytes{HOST}`, "buffers {{instance}}"}),
		series("Memory available", "percentunit", "And the limit. No data: the collector memory is off.", ask{`moodle_host_memory_available_bytes{HOST} / moodle_host_memory_total_bytes{HOST}`, "{{instance}}"}, limit("memory_available_ratio")).between(0, 1).runbook("MoodleHostMemoryLow"),
		series("Swap used", "bytes", "No data: the collector memory is off. 0 on a host without swap.", ask{`moodle_host_swap_total_bytes{HOST} - moodle_host_swap_free_bytes{HOST}`, "{{instance}}"}),
		series("Killed for lack of memory", "none", "Within the interval. No data: the kernel does not count it.", ask{`increase(moodle_host_oom_kills_total{HOST}[$__rate_interval])`, "{{instance}}"}).runbook("MoodleHostOOMKill"),
		stat("Up for", "s", "Since the host was started. No data: the collector cpu is off.", ask{`time() - moodle_host_boot_time_seconds{HOST}`, "{{instance}}"}),
	}
}

func diskPanels() []*panel {
	const where = "{{mountpoint}} on {{instance}}"
	return []*panel{
		series("Free", "percentunit", "And both limits. No data: the disk does not answer.", ask{`moodle_host_filesystem_avail_bytes{HOST} / moodle_host_filesystem_size_bytes{HOST}`, where}, limit("disk_free_ratio_warning"), limit("disk_free_ratio_critical")).between(0, 1).runbook("MoodleDiskSpaceLow"),
		series("Free", "bytes", "What ordinary users have, and with what is reserved for root. No data: the disk does not answer.", ask{`moodle_host_filesystem_avail_bytes{HOST}`, where}, ask{`moodle_host_filesystem_free_bytes{HOST}`, "with root's, " + where}).runbook("MoodleDiskFillingUp"),
		series("Inodes free", "percentunit", "No data: a filesystem without a limit of inodes.", ask{`moodle_host_filesystem_files_free{HOST} / (moodle_host_filesystem_files{HOST} > 0)`, where}).between(0, 1).runbook("MoodleDiskInodesLow"),
		states("Answers", "0 when it hangs or gives an error. No data: the collector filesystem is off.", ask{`moodle_host_filesystem_responding{HOST}`, where}).bad(1, false).runbook("MoodleDiskNotResponding"),
		states("Read-only", "As after a disk error. No data: the collector filesystem is off.", ask{`moodle_host_filesystem_readonly{HOST}`, where}).bad(1, true).runbook("MoodleDiskReadOnly"),
		table("Used for", "none", "What lies where. No data: the paths are not known yet; see Collectors.", "", ask{`moodle_host_filesystem_role_info{HOST}`, ""}).sized(8, 7),
	}
}

func servicePanels() []*panel {
	const where, none = "{{unit}} on {{instance}}", " No data: no systemd, or the unit does not run."
	return []*panel{
		states("Running", "No data: the collector service is off, or no unit is watched.", ask{`moodle_service_up{HOST}`, where}).bad(1, false).runbook("MoodleServiceDown").sized(12, 8),
		table("State", "none", "As systemd tells it. No data: systemd does not answer.", "", ask{`moodle_service_state{HOST} == 1`, ""}),
		series("Memory", "bytes", "With the file cache of the unit."+none, ask{`moodle_service_memory_bytes{HOST}`, where}),
		series("CPU", "none", "How many CPUs it takes."+none, ask{`rate(moodle_service_cpu_seconds_total{HOST}[$__rate_interval])`, where}),
		series("Processes and threads", "none", none[1:], ask{`moodle_service_tasks{HOST}`, where}),
		series("Restarts by systemd", "none", "Within an hour."+none, ask{`increase(moodle_service_restarts_total{HOST}[1h])`, where}).runbook("MoodleServiceFlapping"),
		series("Running for", "s", none[1:], ask{`time() - moodle_service_start_time_seconds{HOST}`, where}),
	}
}

func fpmPanels() []*panel {
	const where, none = "{{pool}} of {{server}} on {{instance}}", " No data: `pm.status_listen` is not set; `moodle-exporter config check` prints the lines."
	return []*panel{
		series("Children", "none", "At work, idle, and how many there may be."+none, ask{`moodle_phpfpm_processes{HOST}`, "{{state}}, " + where}, ask{`moodle_phpfpm_max_children{HOST}`, limitPrefix + where}).runbook("MoodleFPMSaturated"),
		series("Waiting requests", "none", "Connections that wait for a free child. No data: neither PHP-FPM nor the kernel tells.", ask{`moodle_phpfpm_listen_queue{HOST}`, where}).runbook("MoodleFPMQueueing"),
		series("Requests", "reqps", none[1:], ask{`rate(moodle_phpfpm_accepted_connections_total{HOST}[$__rate_interval])`, where}),
		series("Limit reached, slow requests", "ops", "Per second: more children wanted than allowed; requests over request_slowlog_timeout."+none, ask{`rate(moodle_phpfpm_max_children_reached_total{HOST}[$__rate_interval])`, "limit, " + where}, ask{`rate(moodle_phpfpm_slow_requests_total{HOST}[$__rate_interval])`, "slow, " + where}).runbook("MoodleFPMMaxChildrenReached"),
		states("Status can be read", "No data: no pool was found.", ask{`moodle_phpfpm_up{HOST}`, where}).bad(1, false).runbook("MoodleCollectorFailing"),
		series("Running for", "s", "Since the pool was started or reloaded."+none, ask{`time() - moodle_phpfpm_start_time_seconds{HOST}`, where}),
	}
}

func webPanels() []*panel {
	const ngx = " No data: stub_status is not set; `moodle-exporter config check` prints the lines."
	const redis, none = "{{server}} ({{role}}) on {{instance}}", " No data: no site keeps sessions or caches in Redis, or it refuses the exporter."
	return []*panel{
		series("nginx: requests", "reqps", ngx[1:], ask{`rate(moodle_nginx_requests_total{HOST}[$__rate_interval])`, "{{server}} on {{instance}}"}),
		series("nginx: connections", "none", ngx[1:], ask{`moodle_nginx_connections{HOST}`, "{{state}} {{server}} on {{instance}}"}),
		series("nginx: dropped connections", "ops", "Accepted and not handled: a limit was reached."+ngx, ask{`rate(moodle_nginx_connections_accepted_total{HOST}[$__rate_interval]) - rate(moodle_nginx_connections_handled_total{HOST}[$__rate_interval])`, "{{server}} on {{instance}}"}),
		states("nginx and Redis answer", "No data: there is none.", ask{`moodle_nginx_up{HOST}`, "nginx {{server}} on {{instance}}"}, ask{`moodle_redis_up{HOST}`, "Redis " + redis}).bad(1, false).runbook("MoodleRedisDown"),
		series("Redis: memory", "bytes", "And maxmemory, where there is one."+none, ask{`moodle_redis_memory_used_bytes{HOST}`, redis}, ask{`moodle_redis_memory_max_bytes{HOST} > 0`, limitPrefix + redis}).runbook("MoodleRedisMemoryNearLimit"),
		series("Redis: keys found", "percentunit", "Part of the look-ups that found their key."+none, ask{`rate(moodle_redis_keyspace_hits_total{HOST}[$__rate_interval]) / (rate(moodle_redis_keyspace_hits_total{HOST}[$__rate_interval]) + rate(moodle_redis_keyspace_misses_total{HOST}[$__rate_interval]))`, redis}).between(0, 1),
		series("Redis: dropped keys, refused connections", "ops", none[1:], ask{`rate(moodle_redis_evicted_keys_total{HOST}[$__rate_interval])`, "dropped, " + redis}, ask{`rate(moodle_redis_rejected_connections_total{HOST}[$__rate_interval])`, "refused, " + redis}).runbook("MoodleRedisEvicting"),
		series("Redis: connections", "none", none[1:], ask{`moodle_redis_connected_clients{HOST}`, redis}),
		stat("Redis: running for", "s", none[1:], ask{`time() - moodle_redis_start_time_seconds{HOST}`, redis}).sized(8, 7),
	}
}

func certificatePanels() []*panel {
	const where, none = "{{target}} ({{source}}) on {{instance}}", " No data: no certificate was found."
	return []*panel{
		series("Left", "s", "And when renewal is overdue."+none, ask{`moodle_certificate_not_after_timestamp_seconds{HOST} - time()`, where}, ask{`86400 * max by (job, instance) (moodle_threshold{HOST, name="cert_warning_days"})`, limitPrefix + "{{instance}}"}).runbook("MoodleCertExpiringSoon"),
		series("Age", "s", "Since it became valid."+none, ask{`time() - moodle_certificate_not_before_timestamp_seconds{HOST}`, where}),
		states("Answers, trusted, right name", none[1:], ask{`moodle_certificate_probe_success{HOST}`, "answers, {{target}} on {{instance}}"}, ask{`moodle_certificate_chain_valid{HOST}`, "trusted, {{target}} on {{instance}}"}, ask{`moodle_certificate_hostname_match{HOST}`, "name, {{target}} on {{instance}}"}).bad(1, false).runbook("MoodleCertChainInvalid"),
		table("Certificates", "none", "What is served and what lies in files."+none, "", ask{`moodle_certificate_info{HOST}`, ""}).sized(24, 7),
	}
}

func exporterPanels() []*panel {
	return []*panel{
		states("Collectors", "A collector that fails watches nothing. No data: the exporter is down.", ask{`moodle_scrape_collector_success{HOST}`, "{{collector}} on {{instance}}"}).bad(1, false).runbook("MoodleCollectorFailing").sized(12, 9),
		series("Time of a scrape", "s", "By collector. No data: the exporter is down.", ask{`moodle_scrape_collector_duration_seconds{HOST}`, "{{collector}} on {{instance}}"}).sized(12, 9),
		series("Background looks, age", "s", "When each source was last read without an error. No data: never.", ask{`time() - moodle_refresh_last_success_timestamp_seconds{HOST}`, "{{source}} {{site}} on {{instance}}"}),
		series("Root's looks, age", "s", "The timer of `moodle-exporter probe` runs every five minutes. No data: it never ran.", ask{`time() - moodle_probe_facts_timestamp_seconds{HOST}`, "{{site}} on {{instance}}"}),
		stat("Configuration accepted", "bool_yes_no", "No data: the exporter is down.", ask{`moodle_exporter_config_last_reload_successful{HOST}`, "{{instance}}"}).bad(1, false).runbook("MoodleConfigReloadFailed"),
		stat("Configuration read", "dateTimeFromNow", "No data: the exporter is down.", ask{`moodle_exporter_config_last_reload_success_timestamp_seconds{HOST} * 1000`, "{{instance}}"}),
		table("Versions", "none", "No data: the exporter is down.", "", ask{`moodle_exporter_build_info{HOST}`, ""}),
	}
}
