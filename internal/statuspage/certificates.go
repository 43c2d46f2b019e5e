package statuspage

import (
	"fmt"
	"strings"
)

// late is the part of cert_warning_days below which a renewal is overdue: the alert rule has the same, as
// certbot renews a healthy certificate within hours below the threshold.
const late = 0.95

// lastWeek is the part of it that is left when a renewal can wait no longer: a week of the usual 30 days, as in the rule.
const lastWeek = 7.0 / 30

// certificateExpiry agrees with MoodleCertExpired, MoodleCertExpiresInAWeek and MoodleCertExpiringSoon.
func certificateExpiry(v *view) []Line {
	var lines []Line
	for _, certificate := range v.all("certificate_not_after_timestamp_seconds") {
		target := certificate.labels["target"]
		left := certificate.value - v.now
		value := fmt.Sprintf("%s left (%s)", span(left), certificate.labels["source"])
		days, set := v.threshold("cert_warning_days")
		switch {
		case left <= 0:
			lines = append(lines, Line{
				Level: Critical, Subject: target, Value: fmt.Sprintf("expired %s ago (%s)", span(left), certificate.labels["source"]), Runbook: "MoodleCertExpired",
				Advice: "Browsers and the Moodle app refuse the site. Renew it now (`certbot renew`), then reload the web server so that it serves the new one.",
			})
		case !set:
			lines = append(lines, noThreshold(target, value, "cert_warning_days"))
		case left < lastWeek*days*86400:
			lines = append(lines, Line{
				Level: Critical, Subject: target, Value: value, Runbook: "MoodleCertExpiresInAWeek",
				Advice: "Its renewal has been failing for weeks; when it expires, browsers and the Moodle app refuse the site. Renew it by hand: `certbot renew`, and read what it says.",
			})
		case left < late*days*86400:
			lines = append(lines, Line{
				Level: Warning, Subject: target, Value: value, Runbook: "MoodleCertExpiringSoon",
				Advice: "Its renewal is overdue; when it expires, browsers and the Moodle app refuse the site. See `systemctl list-timers 'certbot*'` and `certbot renew --dry-run`.",
			})
		default:
			lines = append(lines, Line{Level: OK, Subject: target, Value: value})
		}
	}
	return lines
}

// certificateServed judges what an endpoint hands out, beside its expiry.
func certificateServed(v *view) []Line {
	var lines []Line
	for _, probe := range v.all("certificate_probe_success") {
		target := probe.labels["target"]
		if probe.value == 0 {
			lines = append(lines, Line{
				Level: Warning, Subject: target, Value: "no TLS connection", Runbook: "MoodleTLSProbeFailing",
				Advice: "The exporter could not shake hands with it, so what it serves is not known. Is the web server running, and is the port reachable from here?",
			})
			continue
		}
		if v.is(0, "certificate_hostname_match", "target", target) {
			lines = append(lines, Line{
				Level: Critical, Subject: target, Value: "certificate of another name", Runbook: "MoodleCertNameMismatch",
				Advice: "Browsers refuse it for this address. Issue a certificate that names it, or correct the virtual host that answers.",
			})
		}
		if v.is(0, "certificate_chain_valid", "target", target) {
			lines = append(lines, Line{
				Level: Critical, Subject: target, Value: "chain not trusted", Runbook: "MoodleCertChainInvalid",
				Advice: "Browsers and the Moodle app refuse it: usually the intermediate certificate is missing. Have the web server send the full chain.",
			})
		}
		if len(v.all("certificate_not_after_timestamp_seconds", "target", target)) == 0 {
			lines = append(lines, missing(target, "certificate_not_after_timestamp_seconds"))
		}
	}
	return lines
}

// anyCertificate speaks up where there must be one and none was seen.
func anyCertificate(v *view) []Line {
	if len(v.samples["certificate_not_after_timestamp_seconds"])+len(v.samples["certificate_probe_success"]) > 0 {
		return nil
	}
	needed := !v.is(1, "scrape_collector_success", "collector", "certificate")
	for _, site := range v.all("site_info") {
		needed = needed || strings.HasPrefix(site.labels["wwwroot"], "https:")
	}
	if needed {
		return []Line{missing("certificates", "certificate_not_after_timestamp_seconds")}
	}
	return []Line{{Level: Info, Subject: "certificates", Value: "none found, and no site is served over HTTPS"}}
}
