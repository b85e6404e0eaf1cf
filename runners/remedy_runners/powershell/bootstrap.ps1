# The first thing that PowerShell runs on a host: it reads the payload from standard
# input, checks its length and SHA-256, and only then interprets anything of it.
# It is what was measured on PowerShell 7.6.5; every difference to that is listed,
# with its reason, in the test of its text. Lines that begin with # do not travel.
#
# $_h is the payload's header: nonce, size of the literal part, size of all, SHA-256
# in hexadecimal digits, deadline in seconds (0: none). $_k says how it ends: r the
# kind, c the code, t whether the deadline is over, f the file of a fix's marker that
# gets the end (the literal part sets it), l what the literal part keeps open, w that the
# deadline's watcher has written the trailer.
&{
$ErrorActionPreference='Stop'
$u=[Text.UTF8Encoding]::new($false)
try{[Console]::OutputEncoding=$u}catch{}
$global:OutputEncoding=$u
$global:ProgressPreference='SilentlyContinue'
if($PSStyle){$PSStyle.OutputRendering='PlainText'}
$_k=[hashtable]::Synchronized(@{r='load';c=1})
try{
$i=[IO.StreamReader]::new([Console]::OpenStandardInput(),[Text.Encoding]::ASCII)
$_h=-split $i.ReadLine()
$s=[Text.StringBuilder]::new()
while($s.Length -lt 4*[math]::Ceiling($_h[2]/3) -and ($l=$i.ReadLine()) -ne $null){[void]$s.Append($l.Trim())}
$b=[Convert]::FromBase64String($s)
if($b.Length -ne $_h[2] -or ([BitConverter]::ToString($(try{[Security.Cryptography.SHA256]::Create()}catch{[Security.Cryptography.SHA256CryptoServiceProvider]::new()}).ComputeHash($b)) -replace '-') -ne $_h[3]){throw 'payload damaged'}
[Console]::SetIn([IO.TextReader]::Null)
$global:Remedy=&([scriptblock]::Create($u.GetString($b,0,$_h[1])))
$_k.r='parse'
$t=[scriptblock]::Create($u.GetString($b,$_h[1],$b.Length-$_h[1]))
$global:LASTEXITCODE=$null
$Error.Clear()
$_p=[powershell]::Create('CurrentRunspace').AddScript('param($_t,$_k)$ErrorActionPreference=''Stop'';do{&$_t}while(0);$_k.r=''end''').AddArgument($t).AddArgument($_k).AddCommand('Out-Default')
$_p.Commands.Commands[0].MergeMyResults('Error','Output')
if(0+$_h[4]){$_e=[Threading.ManualResetEvent]::new($false)
[void][powershell]::Create().AddScript('param($p,$k,$h,$e)if(!$e.WaitOne(1000*$h[4])){$k.t=1;[void]$p.BeginStop($null,$null);if(!$e.WaitOne(2000)){if($k.f){try{[IO.File]::WriteAllText("$($k.f).new","124 1`n");[IO.File]::Move("$($k.f).new",$k.f)}catch{}};$k.w=1;$x=[Text.Encoding]::ASCII.GetBytes("`n$($h[0]) time 124 `n");[void][Console]::OpenStandardOutput().WriteAsync($x,0,$x.Length).Wait(1000)};if($env:OS){[void][powershell]::Create().AddScript({try{$a=@(Get-CimInstance Win32_Process);$q=@($a|?{$_.ProcessId -eq $PID});for($n=0;$n -lt $q.Count;$n++){$a|?{$_.ParentProcessId -eq $q[$n].ProcessId -and $_.ProcessId -ne $PID -and $_.CreationDate -ge $q[$n].CreationDate}|%{$q+=$_;Stop-Process -Id $_.ProcessId -Force -ErrorAction 0}}}catch{}}).BeginInvoke().AsyncWaitHandle.WaitOne(8000);[Diagnostics.Process]::GetCurrentProcess().Kill()}else{kill -9 -- -$PID};[Environment]::Exit(124)}').AddArgument($_p).AddArgument($_k).AddArgument($_h).AddArgument($_e).BeginInvoke()}
$_k.r='exit'
$null=$_p.Invoke()
if($_k.r -eq 'end'){$_k.c=0}elseif($_p.InvocationStateInfo.State -eq 'Completed' -and $LASTEXITCODE -ne $null){$_k.c=$LASTEXITCODE}else{$_k.r='stop'}
}catch{
if($_k.r -eq 'exit'){$_k.r='throw'}
$x=$_
if($x.Exception.InnerException.ErrorRecord){$x=$x.Exception.InnerException.ErrorRecord}
[Console]::Error.Write(($x|Out-String -Width 500))
}finally{
if($_k.t){$_k.r='time';$_k.c=124}
if($_k.f){try{[IO.File]::WriteAllText("$($_k.f).new","$(if($_k.c){$_k.c}else{0+$LASTEXITCODE}) $(0+$_k.t)`n");[IO.File]::Move("$($_k.f).new",$_k.f)}catch{}}
if(!$_k.w){[Console]::Write("`n$($_h[0]) $($_k.r) $($_k.c) $LASTEXITCODE`n")}
if($_e){[void]$_e.Set();if($_k.t){[Threading.Thread]::Sleep(9000)}}
}
exit $_k.c
}
