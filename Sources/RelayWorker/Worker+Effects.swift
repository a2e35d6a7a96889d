public import RelayCore
public import STUN

extension Worker {
    /// Carries out the effects in order; facts that come of them go back to the core and may append more.
    @inlinable
    mutating func perform<IO: DatagramIO & ~Copyable>(through io: inout IO, at moment: Moment) {
        var next = 0
        while next < effects.list.count {
            switch effects.list[next] {
            case .send(let range, from: let slot, to: let destination, dontFragment: let dontFragment):
                io.send(effects.bytes(range), from: slot, to: destination, dontFragment: dontFragment)
            case .openRelay(let request):
                core.resume(open(request, through: &io), at: moment, into: &effects)
            case .closeRelay(let slot):
                io.detach(slot)
                close(slot)
            case .closeReserved(let address):
                closeReserved(address)
            case .note(let note):
                tell(note)
            case .route(let delta): apply(delta)
            }
            next += 1
        }
        effects.removeAll()
    }

    /// Binds a relay socket and has the plane watch it. What fails here is one client's affair, not the plane's end.
    @inlinable
    mutating func open<IO: DatagramIO & ~Copyable>(_ request: RelayRequest, through io: inout IO) -> RelayAnswer {
        let answer = openRelay(request)
        guard case .opened(_, let slot) = answer, request.purpose != .reserved else { return answer }
        do throws(PlaneError) {
            try io.attach(slot, of: sockets)
            return answer
        } catch {
            close(slot)
            return .refused(request, .failed(error.description))
        }
    }

    @usableFromInline
    mutating func openRelay(_ request: RelayRequest) -> RelayAnswer {
        do throws(SocketError) {
            let descriptor: Int32
            if request.purpose == .claimed {
                guard let found = reserved.take(request.address) else {
                    return .refused(request, .failed("the reserved socket is gone"))
                }
                descriptor = found
            } else {
                descriptor = try opener.openRelay(at: request.address)
            }
            guard request.purpose != .reserved else {
                reserved.put(descriptor, at: request.address)
                return .opened(request, SocketSlot(index: .max))
            }
            let entry = SocketEntry(descriptor: descriptor, role: .relay, local: request.address)
            return .opened(request, sockets.insert(entry))
        } catch {
            return .refused(request, error.kind == .addressInUse ? .addressInUse : .failed(error.description))
        }
    }

    @usableFromInline
    mutating func close(_ slot: SocketSlot) {
        opener.close(sockets.remove(slot).descriptor)
    }

    @usableFromInline
    mutating func recycleSlots() { sockets.recycle() }

    @usableFromInline
    mutating func closeReserved(_ address: TransportAddress) {
        if let descriptor = reserved.take(address) { opener.close(descriptor) }
    }

    @usableFromInline
    mutating func tell(_ note: Note) { notes(complete(note)) }
}
