# A service manager as far as it listens: binds the socket that is named, and prints each message and a line `--`.
use strict;
use warnings;
use Socket;

$| = 1;
socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
bind($socket, pack_sockaddr_un($ARGV[0])) or die "bind: $!";
print "bound\n--\n";
while (defined recv($socket, my $message, 65536, 0)) {
  print "$message\n--\n";
}
