package alerts_test

func certificateSituations() []situation {
	return []situation{
		{
			alert: "MoodleCertExpiringSoon",
			conditions: []condition{
				{series: "moodle_certificate_not_after_timestamp_seconds", bad: "2000000", good: "9000000"},
				threshold("cert_warning_days", "30", "3"),
			},
			silent: []string{"14m"}, fires: "20m",
		},
		{
			alert: "MoodleCertExpiresInAWeek",
			conditions: []condition{
				{series: "moodle_certificate_not_after_timestamp_seconds", bad: "500000", good: "5000000"},
				threshold("cert_warning_days", "30", "1"),
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleCertExpired",
			conditions: []condition{
				{series: "moodle_certificate_not_after_timestamp_seconds", bad: "-60", good: "9000000"},
			},
			fires: "5m",
		},
		{
			alert: "MoodleCertChainInvalid",
			conditions: []condition{
				{series: "moodle_certificate_chain_valid", bad: "0", good: "1"},
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleCertNameMismatch",
			conditions: []condition{
				{series: "moodle_certificate_hostname_match", bad: "0", good: "1"},
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleCertNotReloaded",
			conditions: []condition{
				{series: `moodle_certificate_info{source="file", target="/etc/lms.pem", subject="CN=lms", issuer="CA", serial="2"}`, bad: "1", good: ""},
				{series: `moodle_certificate_not_after_timestamp_seconds{source="file", target="/etc/lms.pem"}`, bad: "9000000", good: "1000"},
				{series: `moodle_certificate_info{source="endpoint", target="lms:443", subject="CN=lms", issuer="CA", serial="1"}`, bad: "1", good: ""},
				{series: `moodle_certificate_not_after_timestamp_seconds{source="endpoint", target="lms:443"}`, bad: "5000000", good: "99000000"},
			},
			others: []string{
				`moodle_certificate_info{source="file", target="/etc/exam.pem", subject="CN=exam", issuer="CA", serial="7000000"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{source="file", target="/etc/exam.pem"} 7000000`,
				`moodle_certificate_info{source="endpoint", target="exam:443", subject="CN=exam", issuer="CA", serial="7000000"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{source="endpoint", target="exam:443"} 7000000`,
				`moodle_certificate_info{source="file", target="/etc/twice.pem", subject="CN=twice", issuer="CA", serial="5000000"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{source="file", target="/etc/twice.pem"} 5000000`,
				`moodle_certificate_info{source="endpoint", target="twice:443", subject="CN=twice", issuer="CA", serial="5000000"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{source="endpoint", target="twice:443"} 5000000`,
				`moodle_certificate_info{source="endpoint", target="twice:8443", subject="CN=twice", issuer="CA", serial="9000000"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{source="endpoint", target="twice:8443"} 9000000`,
				`moodle_certificate_info{source="file", target="/etc/archive/1.pem", subject="CN=archive", issuer="CA", serial="5000000"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{source="file", target="/etc/archive/1.pem"} 5000000`,
				`moodle_certificate_info{source="file", target="/etc/archive/2.pem", subject="CN=archive", issuer="CA", serial="9000000"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{source="file", target="/etc/archive/2.pem"} 9000000`,
				`moodle_certificate_info{source="endpoint", target="archive:443", subject="CN=archive", issuer="CA", serial="9000000"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{source="endpoint", target="archive:443"} 9000000`,
			},
			silent: []string{"55m"}, fires: "65m",
		},
		{
			alert: "MoodleTLSProbeFailing",
			conditions: []condition{
				{series: "moodle_certificate_probe_success", bad: "0", good: "1"},
			},
			silent: []string{"4m"}, fires: "14m",
		},
	}
}
