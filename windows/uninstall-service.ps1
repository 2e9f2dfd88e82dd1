#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
Removes the Windows service lmgateway and its program.

.PARAMETER RemoveData
Remove its settings, key, state and logs too, %ProgramData%\lmgateway.
#>
[CmdletBinding()]
param([switch] $RemoveData)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$Service = 'lmgateway'
$Program = Join-Path $env:ProgramFiles $Service
$Data = Join-Path $env:ProgramData $Service

if (Get-Service -Name $Service -ErrorAction SilentlyContinue) {
    Write-Host 'Stopping the service; running requests may take half a minute to finish.'
    Stop-Service -Name $Service
    # Its files are free a moment later.
    Get-Process -Name 'lmgateway-service' -ErrorAction SilentlyContinue | Wait-Process -Timeout 60
    # Remove-Service is younger than Windows' own PowerShell.
    $said = & sc.exe delete $Service
    if ($LASTEXITCODE -ne 0) {
        throw "sc.exe delete $Service failed with exit status ${LASTEXITCODE}: $said"
    }
}
Remove-NetFirewallRule -Name $Service -ErrorAction SilentlyContinue
if ([System.Diagnostics.EventLog]::SourceExists($Service)) {
    [System.Diagnostics.EventLog]::DeleteEventSource($Service)
}
if (Test-Path -LiteralPath $Program) {
    Remove-Item -LiteralPath $Program -Recurse -Force
}
if ($RemoveData) {
    if (Test-Path -LiteralPath $Data) {
        Remove-Item -LiteralPath $Data -Recurse -Force
    }
}
elseif (Test-Path -LiteralPath $Data) {
    Write-Host "Settings, key, state and logs are still in $Data; -RemoveData removes them."
}
