package statuspage

import "fmt"

// near is the part of maxmemory from which a Redis server is as good as full.
const near = 0.9

// redis judges the servers of sessions and caches. What it evicted and refused are counters, of which one look cannot say
// whether they grow: they are told, and the alerts watch them.
func redis(v *view) []Line {
	var lines []Line
	for _, up := range v.all("redis_up") {
		line := redisServer(v, up.value, up.labels["server"], up.labels["role"])
		line.Subject = up.labels["server"]
		lines = append(lines, line)
	}
	if len(lines) == 0 && v.is(1, "scrape_collector_success", "collector", "redis") {
		return []Line{{Level: Info, Subject: "servers", Value: "no site keeps sessions or caches in Redis"}}
	}
	return lines
}

// redisKeeps is what a role means to users.
var redisKeeps = map[string]string{"session": "sessions", "cache": "caches", "both": "sessions and caches"}

func redisServer(v *view, up float64, server, role string) Line {
	keeps := ""
	if what := redisKeeps[role]; what != "" {
		keeps = ", keeps " + what
	}
	if up == 0 {
		return Line{
			Level: Critical, Value: "does not let the exporter in" + keeps, Runbook: "MoodleRedisDown",
			Advice: "If the server is down, nobody whose session lies in it can work, and pages without their caches are slow or broken; if only the exporter is refused, the sites work and this is not watched: " +
				"name its password_file under redis: in the configuration." + v.because("redis"),
		}
	}
	used, known := v.get("redis_memory_used_bytes", "server", server)
	most, _ := v.get("redis_memory_max_bytes", "server", server)
	if !known {
		return missing("", "redis_memory_used_bytes")
	}
	value := fmt.Sprintf("up%s, %s", keeps, size(used))
	if most > 0 {
		value += " of " + size(most)
	}
	if start, found := v.get("redis_start_time_seconds", "server", server); found {
		age, _ := v.age(start)
		value += ", for " + span(age)
	}
	value += v.redisLosses(server, role)
	if most > 0 && used/most > near {
		advice := "When it is full it drops keys or refuses new ones, as maxmemory-policy says: caches then help less."
		if role == "session" || role == "both" {
			advice = "When it is full it drops keys or refuses new ones, as maxmemory-policy says: users are logged out, or cannot log in."
		}
		return Line{Level: Warning, Value: value, Runbook: "MoodleRedisMemoryNearLimit", Advice: advice + " Raise maxmemory if the host has the memory, and keep sessions and caches in servers of their own."}
	}
	return Line{Level: OK, Value: value}
}

// redisLosses tells the counters, which began with the server.
func (v *view) redisLosses(server, role string) string {
	text := ""
	if evicted, _ := v.get("redis_evicted_keys_total", "server", server); evicted > 0 {
		text += fmt.Sprintf(", %s evicted since it started", count(evicted, "key"))
		if role == "session" || role == "both" {
			text += ", each of which may be a user logged out"
		}
	}
	if refused, _ := v.get("redis_rejected_connections_total", "server", server); refused > 0 {
		text += fmt.Sprintf(", %s refused since it started", count(refused, "connection"))
	}
	return text
}
