# Clients whose handshakes take 190 ms on the server's side: opened one after another until the port refuses one.
#
# Linux lets a client hold back the last ACK of its handshake (TCP_QUICKACK 0), for 200 ms at most. The client is
# connected by then, as over a long line; the server isn't. Prints `open` when the first 60 are connected, and at the end
# how many were answered and what became of the others. Arguments: the port.
use strict;
use warnings;
use Errno qw(EAGAIN);
use Fcntl;
use Socket qw(:DEFAULT IPPROTO_TCP);
use Time::HiRes qw(time);

use constant { QUICKACK => 12, ACK_AFTER => 0.19, EVERY => 0.005, MOST => 1500 };

$| = 1;
$SIG{PIPE} = 'IGNORE';
my $server = sockaddr_in($ARGV[0], inet_aton('127.0.0.1'));
my (@clients, %ends, $refused);
my $begun = time;

while (!$refused || grep { !$_->{end} } @clients) {
  die "not refused\n" if @clients > MOST;
  open_one() if !$refused && time - $begun >= EVERY * @clients;
  my $reading = '';
  for my $client (grep { !$_->{end} } @clients) {
    send_request($client) if !$client->{sent} && time - $client->{at} >= ACK_AFTER;
    vec($reading, fileno($client->{socket}), 1) = 1;
  }
  select($reading, undef, undef, 0.002);
  for my $client (grep { !$_->{end} } @clients) {
    read_from($client) if vec($reading, fileno($client->{socket}), 1);
  }
}
$ends{$_->{end}}++ for @clients;
print join(', ', map { "$ends{$_} $_" } sort keys %ends), "\n";

sub open_one {
  socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
  setsockopt($socket, IPPROTO_TCP, QUICKACK, pack('i', 0)) or die "setsockopt: $!\n";
  $refused = !connect($socket, $server);
  return if $refused;
  fcntl($socket, F_SETFL, fcntl($socket, F_GETFL, 0) | O_NONBLOCK) or die "fcntl: $!\n";
  push @clients, { socket => $socket, at => time, text => '' };
  print "open\n" if @clients == 60;
}

sub send_request {
  my ($client) = @_;
  $client->{sent} = 1;
  syswrite($client->{socket}, "GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
}

sub read_from {
  my ($client) = @_;
  my $count = sysread($client->{socket}, $client->{text}, 4096, length $client->{text});
  return if !defined $count && $! == EAGAIN;
  return if $count;
  my $problem = defined $count ? 'closed' : "failed: $!";
  $client->{end} = $client->{text} =~ m{^HTTP/1.1 200} ? 'answered' : $problem;
  close $client->{socket};
}
