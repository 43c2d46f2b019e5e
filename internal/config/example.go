package config

// Example is a configuration file that says what there is to say and changes nothing: all of it is
// commented out. Uncommented it parses, which a test proves.
const Example = `# moodle-exporter: an ordinary host needs nothing of this. What is left out is found on the host.
# Check with: moodle-exporter config check

#sites:
#  - name: lms                       # label, backup directory; default: base name of dir
#    dir: /var/www/moodle
#    user: www-data                  # whom the site's PHP runs as; never root
#    php: /usr/bin/php
#    primary: true                   # say it where several web nodes share one dataroot
#    database:
#      monitor: {user: moodle-exporter, password_file: /etc/moodle-exporter/monitor.password}
#      admin: {user: root, socket: /run/mysqld/mysqld.sock}
#services: [nginx.service, php8.2-fpm.service, mariadb.service, redis-server.service, cron.service]
#redis:
#  - {address: "127.0.0.1:6379", password_file: /etc/moodle-exporter/redis.password}   # user: of an ACL
#phpfpm:                             # where pools tell their status; default: what their files say
#  - {listen: "127.0.0.1:9001", path: /status}
#nginx: ["http://127.0.0.1:8089/nginx_status"]   # stub_status
#certificates:
#  endpoints: ["lms.example.org:443"]
#  files: [/etc/letsencrypt/live/*/fullchain.pem]
#backup:
#  dir: /backup/maintenance
#  max_age: 8d                       # or one for each component: {all: 8d, database: 26h}
#  keep: {within: 90d, last: 3}
#thresholds:
#  cpu_busy_ratio: 0.9
#  disk_free_ratio_warning: 0.15
#  cert_warning_days: 30
`
