#!/bin/sh
# Makes the certificates of the secured broker: certificates.sh FOLDER [CLIENT ID …]
# One authority signs the certificates of clients and broker, another those of the apps. Existing files are kept, so that
# clients can be added later. In production, let your own authority sign: the CN of a certificate is the client id.
set -eu
folder=${1:?folder}
shift
umask 077
mkdir -p "$folder"
cd "$folder"

authority() { # name, CN
  [ -e "$1.key" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -subj "/CN=$2" -keyout "$1.key" -out "$1.crt" 2>/dev/null
}

certificate() { # name, CN, authority, extensions
  [ -e "$1.crt" ] && return
  printf '%s\n' 'basicConstraints=CA:FALSE' "$4" >"$1.ext"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -days 825 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
  rm "$1.csr" "$1.ext"
}

authority ca 'Cloud Connector clients'
authority ca-services 'Cloud Connector services'
certificate broker broker ca "subjectAltName=DNS:localhost,DNS:mosquitto,IP:127.0.0.1${BROKER_NAMES:+,$BROKER_NAMES}"
certificate ingester ingester ca-services 'extendedKeyUsage=clientAuth'
certificate dispatcher dispatcher ca-services 'extendedKeyUsage=clientAuth'
for id in "$@"; do certificate "client-$id" "$id" ca 'extendedKeyUsage=clientAuth'; done
# Every user may read the certificates. Only their owners may read the keys: see owners.sh.
chmod 755 .
chmod 644 ./*.crt
