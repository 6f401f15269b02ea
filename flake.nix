{
  description = "Crash-safe recording of what AI agents learn";
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];
      each = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      cargo = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).package;
    in {
      packages = each (pkgs: {
        default = pkgs.rustPlatform.buildRustPackage {
          pname = cargo.name;
          version = cargo.version;
          src = self;
          cargoLock.lockFile = ./Cargo.lock;
          # The tests need git, strace, node, python3 and root; .ci/run runs them.
          doCheck = false;
          postInstall = ''
            $out/bin/indelible man --install --prefix $out
            $out/bin/indelible completions --install --prefix $out
          '';
          meta = { description = cargo.description; license = pkgs.lib.licenses.mit; mainProgram = "indelible"; };
        };
      });
      apps = each (pkgs: {
        default = { type = "app"; program = "${self.packages.${pkgs.system}.default}/bin/indelible"; };
      });
    };
}
