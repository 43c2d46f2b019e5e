package moodle

import "testing"

func TestSupportEnd(t *testing.T) {
	for branch, want := range map[string]string{"405": "2027-10-04", "501": "2027-04-19", "401": "2025-12-08", "503": "2029-10-08", "311": "2023-12-11", "": "", "999": "", "35": ""} {
		got := ""
		if end, known := SupportEnd(branch); known {
			got = end.Format("2006-01-02")
		}
		if got != want {
			t.Errorf("branch %q: %q, want %q", branch, got, want)
		}
	}
}
