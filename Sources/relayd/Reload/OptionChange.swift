import RelayCore

/// One key whose value is another one now, in words that give no secret away.
struct OptionChange: Equatable {
    let key: OptionKey
    let details: [String: String]

    /// What differs between two states of the options: reloadable keys since `latest`, all others since `started`, so
    /// that what waits for a restart is named until it is done or undone.
    static func all(
        from latest: LoadedSettings, startedAs started: LoadedSettings, to new: LoadedSettings
    ) -> [OptionChange] {
        OptionKey.allCases.compactMap { key in
            let old = key.isReloadable ? latest : started
            let details = Self.details(of: key, old, new)
            return details.isEmpty ? nil : OptionChange(key: key, details: details)
        }
    }

    private static func details(of key: OptionKey, _ old: LoadedSettings, _ new: LoadedSettings) -> [String: String] {
        switch key {
        case .user: return users(old.settings.users, new.settings.users)
        case .authSecret: return secrets(old, new)
        case .httpTokenFile where old.settings.httpToken != new.settings.httpToken: return ["content": "changed"]
        default: break
        }
        let (before, after) = (values(of: key, old.layers), values(of: key, new.layers))
        guard before != after else { return [:] }
        guard key.shape == .list else { return ["from": text(before), "to": text(after)] }
        return compact([
            "added": after.filter { !before.contains($0) }, "removed": before.filter { !after.contains($0) },
        ])
    }

    private static func values(of key: OptionKey, _ layers: OptionLayers) -> [String] {
        layers.find(key)?.values ?? key.defaultValues ?? []
    }

    private static func text(_ values: [String]) -> String { values.isEmpty ? "none" : values.joined(separator: ",") }

    /// By name, never by password.
    private static func users(_ before: [StaticUser], _ after: [StaticUser]) -> [String: String] {
        let (old, new) = (Set(before), Set(after))
        let (oldNames, newNames) = (Set(before.map(\.name)), Set(after.map(\.name)))
        return compact([
            "added": newNames.subtracting(oldNames).sorted(), "removed": oldNames.subtracting(newNames).sorted(),
            "changed": Set(new.subtracting(old).map(\.name)).intersection(oldNames).sorted(),
        ])
    }

    /// By number: those of the option and those of the file.
    private static func secrets(_ old: LoadedSettings, _ new: LoadedSettings) -> [String: String] {
        let (before, after) = (Set(old.settings.authSecrets), Set(new.settings.authSecrets))
        let (added, removed) = (after.subtracting(before).count, before.subtracting(after).count)
        return [("added", added), ("removed", removed)].reduce(into: [:]) { if $1.1 > 0 { $0[$1.0] = "\($1.1)" } }
    }

    private static func compact(_ lists: [String: [String]]) -> [String: String] {
        lists.filter { !$0.value.isEmpty }.mapValues { $0.joined(separator: ",") }
    }
}
